"""A bundle's `manifest.json` as frozen dataclasses, read strictly.

All languages follow one schema, manifest.schema.json beside this file; `Manifest` and its parts in manifest_parts.py
mirror it field by field.  Unknown, missing and wrongly typed fields are refused, and so is another schema version.
bundle.py handles the files and their hashes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from export.bundle.manifest_parts import (
    MANIFEST,
    FileEntry,
    ModelEntry,
    ParityEntry,
    RuntimeEntry,
    ScheduleEntry,
    StageEntry,
    TokenizerEntry,
    ToolEntry,
    check_path,
    require,
)
from export.signatures import STAGE_LISTS
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import BundleError, ConfigError
from mobile_diffusion.strict_json import parse_json

FORMAT = "mobile-diffusion-bundle"
SCHEMA_VERSION = 7
SCHEMA_PATH = Path(__file__).with_name("manifest.schema.json")


@dataclass(frozen=True)
class Manifest:
    """The contents of `manifest.json`."""

    format: str
    schema_version: int
    target: str
    model: ModelEntry
    stages: tuple[StageEntry, ...]
    runtimes: tuple[RuntimeEntry, ...]
    schedule: ScheduleEntry
    tokenizer: TokenizerEntry
    golden: str
    """Index of the golden vectors."""
    parity: tuple[ParityEntry, ...]
    tools: tuple[ToolEntry, ...]
    files: tuple[FileEntry, ...]

    def __post_init__(self) -> None:
        require(self.format == FORMAT, f"format {FORMAT!r}", self.format)
        require(self.schema_version == SCHEMA_VERSION, f"schema_version {SCHEMA_VERSION}", self.schema_version)
        names = tuple(stage.name for stage in self.stages)
        require(names in STAGE_LISTS, f"the stages {' or '.join(map(str, STAGE_LISTS))}", names)
        same = all(tuple(one.stage for one in runtime.artifacts) == names for runtime in self.runtimes)
        require(same, "programs of the same stages for every runtime", names)
        require(sum(runtime.primary for runtime in self.runtimes) == 1, "one primary runtime", self.runtimes)
        runtimes = [runtime.name for runtime in self.runtimes]
        require(len(set(runtimes)) == len(runtimes), "different runtimes", runtimes)
        self._check_references()

    def _check_references(self) -> None:
        """Raise `BundleError` unless every path is a listed file, or a directory of listed files."""
        listed = [entry.path for entry in self.files]
        require(len(set(listed)) == len(listed), "every file once", sorted(listed))
        known = set(listed) | {str(parent) for path in listed for parent in PurePosixPath(path).parents}
        artifacts = [artifact.path for runtime in self.runtimes for artifact in runtime.artifacts]
        for path in (*artifacts, *self.tokenizer.files, check_path(self.golden)):
            require(path in known, "only files that are listed under 'files'", path)


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a manifest."""
    return json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))


def dump_manifest(manifest: Manifest) -> str:
    """The manifest as the text of `manifest.json`."""
    return json.dumps(to_dict(manifest), indent=1, allow_nan=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json` of a bundle folder.

    Raises `BundleError` when there is none, when it is not a manifest, or when it has another schema version.
    """
    values = _read_json(folder)
    version = values.get("schema_version")
    if type(version) is int and version != SCHEMA_VERSION:
        fix = "update mobile-diffusion" if version > SCHEMA_VERSION else "export the bundle again"
        raise BundleError(f"{folder}: expected a bundle of schema version {SCHEMA_VERSION}, got {version}; {fix}")
    try:
        return from_dict(Manifest, values)
    except ConfigError as error:
        raise BundleError(f"{folder / MANIFEST}: {error}; export the bundle again") from None


def read_paths(folder: Path) -> set[str]:
    """Return the files that a bundle of any schema version lists; raises `BundleError` when it has no such list."""
    values = _read_json(folder)
    files = values.get("files")
    entries = files if isinstance(files, list) and values.get("format") == FORMAT else [None]
    paths = [entry.get("path") if isinstance(entry, dict) else None for entry in entries]
    if not all(isinstance(path, str) for path in paths):
        raise BundleError(f"{folder / MANIFEST}: expected the manifest of a bundle, got another JSON object")
    return set(map(str, paths))


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing of that name"
        raise BundleError(f"{folder}: expected a bundle folder, got {got}; make one with `mobile-diffusion export`")
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder}: expected a bundle, got a folder without {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: expected JSON, got {type(error).__name__}: {error}; export again") from None
    if not isinstance(values, dict):
        raise BundleError(f"{path}: expected a JSON object, got {type(values).__name__}; export again")
    return values
