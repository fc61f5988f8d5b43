"""What a bundle says of itself: `manifest.json` as frozen dataclasses, read strictly.

The one schema that all languages follow is manifest.schema.json beside this file; the classes here are its
Python reading, field by field.  Unknown, missing and wrongly typed fields are refused, and so is a newer
schema version. Hashing and the files themselves are in bundle.py.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from export.stages import STAGES, TensorSpec
from mobile_diffusion.config import from_dict, to_dict
from mobile_diffusion.errors import BundleError, ConfigError

FORMAT = "mobile-diffusion-bundle"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SCHEMA_PATH = Path(__file__).with_name("manifest.schema.json")

DTYPES = ("float32", "int32")
PRECISIONS = ("fp32", "fp16")
GUIDANCE_KINDS = ("cfg", "distilled")
_HEX = frozenset("0123456789abcdef")


def _require(condition: bool, expected: str, got: object) -> None:
    """Raise `BundleError` saying what was expected and got unless `condition` holds."""
    if not condition:
        raise BundleError(f"{MANIFEST}: expected {expected}, got {str(got)[:120]!r}; export the bundle again")


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= _HEX


def check_path(path: str) -> str:
    """Return `path` if it is relative, in POSIX form and stays in the bundle; else raise `BundleError`."""
    parts = PurePosixPath(path).parts
    plain = bool(parts) and "/".join(parts) == path and not path.startswith("/")
    inside = plain and not {"..", "."} & set(parts) and not set(path) & set("\\:\0")
    _require(inside, "a relative path that stays in the bundle", path)
    return path


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle; a directory such as an .mlpackage is listed file by file."""

    path: str
    size: int
    """Bytes."""
    sha256: str

    def __post_init__(self) -> None:
        check_path(self.path)
        _require(self.path != MANIFEST, "files other than the manifest itself", self.path)
        _require(self.size >= 0, f"a size of zero or more for {self.path}", self.size)
        _require(_is_sha256(self.sha256), "a SHA-256 in lower case hex", self.sha256)


@dataclass(frozen=True)
class ModelEntry:
    """Where the bundle comes from."""

    name: str
    licence: str
    image_size: int
    """Pixels of a side of the picture."""
    source_sha256: str
    """Hash of the checkpoint, as checkpoint.py computes it; "" for a model built in memory."""

    def __post_init__(self) -> None:
        _require(self.source_sha256 == "" or _is_sha256(self.source_sha256), "a SHA-256", self.source_sha256)
        _require(self.image_size > 0, "a positive image_size", self.image_size)


@dataclass(frozen=True)
class StageEntry:
    """Inputs and outputs of one stage, in order; the same for every runtime."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        _require(self.name in STAGES, f"a stage of {STAGES}", self.name)
        for tensor in (*self.inputs, *self.outputs):
            _require(tensor.dtype in DTYPES, f"a dtype of {DTYPES} for {tensor.name}", tensor.dtype)
            _require(all(size > 0 for size in tensor.shape), f"a static shape for {tensor.name}", tensor.shape)


@dataclass(frozen=True)
class ArtifactEntry:
    """The program of one stage for one runtime."""

    stage: str
    path: str
    """A file, or a directory whose files are listed under `files`."""
    method: str
    """The function to call inside the program."""
    output: str
    """The stage's output as the program calls it: some formats forbid an output the name of an input."""
    precision: str
    """Arithmetic inside; inputs and outputs are as the stage says."""
    compression: str
    """How the weights are stored: "none" as they are."""

    def __post_init__(self) -> None:
        _require(self.stage in STAGES, f"a stage of {STAGES}", self.stage)
        check_path(self.path)
        _require(self.precision in PRECISIONS, f"a precision of {PRECISIONS}", self.precision)


@dataclass(frozen=True)
class RuntimeEntry:
    """One way to run the model: a runtime and its programs."""

    name: str
    primary: bool
    """True for the runtime that the app uses unless told otherwise."""
    artifacts: tuple[ArtifactEntry, ...]

    def __post_init__(self) -> None:
        stages = tuple(artifact.stage for artifact in self.artifacts)
        _require(stages == STAGES, f"one artifact for each stage {STAGES}", stages)


@dataclass(frozen=True)
class ScheduleEntry:
    """The sampler that `denoise` carries inside, repeated for inspection: x' = a_i x + b_i m."""

    solver: str
    prediction: str
    spacing: str
    train_steps: int
    timesteps: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    guidance_kind: str
    guidance_default: float
    noise: str
    """Generator of the first latents from a seed."""

    def __post_init__(self) -> None:
        lengths = {len(self.timesteps), len(self.a), len(self.b)}
        _require(len(lengths) == 1 and 0 not in lengths, "as many a and b as timesteps, one at least", lengths)
        _require(self.guidance_kind in GUIDANCE_KINDS, f"a guidance of {GUIDANCE_KINDS}", self.guidance_kind)
        finite = all(map(math.isfinite, (*self.a, *self.b, self.guidance_default)))
        _require(finite, "finite coefficients", (self.a, self.b, self.guidance_default))


@dataclass(frozen=True)
class TokenizerEntry:
    """How a prompt becomes tokens."""

    kind: str
    max_tokens: int
    files: tuple[str, ...]

    def __post_init__(self) -> None:
        _require(len(self.files) > 0, "a tokenizer file", self.files)
        for path in self.files:
            check_path(path)


@dataclass(frozen=True)
class ParityEntry:
    """Worst value of one check of one runtime against PyTorch; details are in parity.json."""

    runtime: str
    check: str
    metric: str
    worst: float
    limit: float


@dataclass(frozen=True)
class ToolEntry:
    """A package that took part in the export."""

    name: str
    version: str


@dataclass(frozen=True)
class Manifest:
    """All of `manifest.json`."""

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
        _require(self.format == FORMAT, f"format {FORMAT!r}", self.format)
        _require(self.schema_version == SCHEMA_VERSION, f"schema_version {SCHEMA_VERSION}", self.schema_version)
        names = tuple(stage.name for stage in self.stages)
        _require(names == STAGES, f"the stages {STAGES}", names)
        _require(sum(runtime.primary for runtime in self.runtimes) == 1, "one primary runtime", self.runtimes)
        runtimes = [runtime.name for runtime in self.runtimes]
        _require(len(set(runtimes)) == len(runtimes), "different runtimes", runtimes)
        self._check_references()

    def _check_references(self) -> None:
        """Every path that is mentioned is a listed file, or a directory of listed files."""
        listed = [entry.path for entry in self.files]
        _require(len(set(listed)) == len(listed), "every file once", sorted(listed))
        known = set(listed) | {str(parent) for path in listed for parent in PurePosixPath(path).parents}
        artifacts = [artifact.path for runtime in self.runtimes for artifact in runtime.artifacts]
        for path in (*artifacts, *self.tokenizer.files, check_path(self.golden)):
            _require(path in known, "only files that are listed under 'files'", path)


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a manifest."""
    return json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))


def dump_manifest(manifest: Manifest) -> str:
    """The manifest as the text of `manifest.json`."""
    return json.dumps(to_dict(manifest), indent=1, allow_nan=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json` of a bundle folder.

    Raises `BundleError` in one line when there is none, when it is not a manifest, or when its schema is
    newer.
    """
    values = _read_json(folder)
    version = values.get("schema_version")
    if type(version) is int and version > SCHEMA_VERSION:
        raise BundleError(
            f"{folder}: expected a bundle of schema version {SCHEMA_VERSION} or older, got {version}; "
            "update mobile-diffusion to read it"
        )
    try:
        return from_dict(Manifest, values)
    except ConfigError as error:
        raise BundleError(f"{folder / MANIFEST}: {error}; export the bundle again") from None


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing of that name"
        raise BundleError(f"{folder}: expected a bundle folder, got {got}; give what `python -m export` wrote")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder}: expected a bundle, got a folder without {MANIFEST}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: expected JSON, got {type(error).__name__}: {error}; export again") from None
    if not isinstance(values, dict):
        raise BundleError(f"{path}: expected a JSON object, got {type(values).__name__}; export again")
    return values
