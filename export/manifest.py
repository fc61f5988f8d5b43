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

from export.stages import IMAGE_STAGES, STAGES, TensorSpec
from mobile_diffusion.config import GUIDANCE_KINDS, PREDICTIONS, SOLVERS, SPACINGS
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import BundleError, ConfigError

FORMAT = "mobile-diffusion-bundle"
SCHEMA_VERSION = 3
MANIFEST = "manifest.json"
SCHEMA_PATH = Path(__file__).with_name("manifest.schema.json")

DTYPES = ("float32", "int32")
PRECISIONS = ("fp32", "fp16")
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
    height: int
    """Pixels of a picture, along with `width`."""
    width: int
    changes: tuple[str, ...]
    """What was changed when the checkpoint was opened: adapters merged, another decoder, layers left out."""
    source_sha256: str
    """Hash of the checkpoint, as checkpoint.py computes it; "" for a model built in memory."""

    def __post_init__(self) -> None:
        _require(self.source_sha256 == "" or _is_sha256(self.source_sha256), "a SHA-256", self.source_sha256)
        _require(self.height > 0 and self.width > 0, "a positive height and width", (self.height, self.width))


@dataclass(frozen=True)
class StageEntry:
    """Inputs and outputs of one stage, in order; the same for every runtime."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        _require(self.name in IMAGE_STAGES, f"a stage of {IMAGE_STAGES}", self.name)
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
    outputs: tuple[str, ...]
    """The stage's outputs as the program calls them: some formats forbid an output the name of an input."""
    precision: str
    """Arithmetic inside; inputs and outputs are as the stage says."""
    compression: str
    """How the weights are stored: "none" as they are."""

    def __post_init__(self) -> None:
        _require(self.stage in IMAGE_STAGES, f"a stage of {IMAGE_STAGES}", self.stage)
        _require(len(self.outputs) > 0, "an output at least", self.outputs)
        check_path(self.path)
        _require(self.precision in PRECISIONS, f"a precision of {PRECISIONS}", self.precision)


@dataclass(frozen=True)
class SettingEntry:
    """A choice that the export was made with and that an app has to know, such as Core ML's compute units."""

    name: str
    value: str

    def __post_init__(self) -> None:
        _require(self.name != "", "a setting with a name", self)


@dataclass(frozen=True)
class RuntimeEntry:
    """One way to run the model: a runtime and its programs."""

    name: str
    primary: bool
    """True for the runtime that the app uses unless told otherwise."""
    settings: tuple[SettingEntry, ...]
    artifacts: tuple[ArtifactEntry, ...]

    def __post_init__(self) -> None:
        stages = tuple(artifact.stage for artifact in self.artifacts)
        _require(stages in (STAGES, IMAGE_STAGES), f"one artifact for each stage {STAGES}", stages)
        names = [setting.name for setting in self.settings]
        _require(len(set(names)) == len(names), "every setting once", names)
        compressions = {artifact.compression for artifact in self.artifacts}
        _require(len(compressions) == 1, "programs of one compression", compressions)

    @property
    def compression(self) -> str:
        """How its programs store weights."""
        return self.artifacts[0].compression


@dataclass(frozen=True)
class ScheduleEntry:
    """The sampler that `denoise` carries inside, repeated for inspection (`mobile_diffusion.schedule.StepTable`)."""

    solver: str
    prediction: str
    spacing: str
    train_steps: int
    timesteps: tuple[float, ...]
    inputs: tuple[float, ...]
    update: tuple[tuple[tuple[float, ...], ...], ...]
    noise_factors: tuple[float, ...]
    alphas: tuple[float, ...]
    sigmas: tuple[float, ...]
    guidance_kind: str
    guidance_default: float
    noise: str
    """Generator of the first latents from a seed."""

    def __post_init__(self) -> None:
        lists = (self.timesteps, self.inputs, self.update, self.noise_factors, self.alphas, self.sigmas)
        lengths = {len(values) for values in lists}
        _require(len(lengths) == 1 and 0 not in lengths, "an entry of every list for each step, one at least", lengths)
        words = {"guidance_kind": GUIDANCE_KINDS, "solver": SOLVERS, "prediction": PREDICTIONS, "spacing": SPACINGS}
        for name, choices in words.items():
            _require(getattr(self, name) in choices, f"a {name} of {choices}", getattr(self, name))
        shapes = {(len(matrix), *(len(row) for row in matrix)) for matrix in self.update}
        size = len(self.update[0])
        _require(shapes == {(size, *[size + 1] * size)}, "matrices of K rows and K + 1 columns", shapes)
        numbers = [value for matrix in self.update for row in matrix for value in row]
        numbers += [value for values in lists if values is not self.update for value in values]  # type: ignore[misc]
        _require(all(map(math.isfinite, (*numbers, self.guidance_default))), "finite coefficients", numbers)

    @property
    def memory(self) -> int:
        """Tensors that the solver remembers."""
        return len(self.update[0]) - 1

    @property
    def stochastic(self) -> bool:
        """Whether noise is added at the steps."""
        return any(self.noise_factors)


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
        _require(names in (STAGES, IMAGE_STAGES), f"the stages {STAGES}, or {IMAGE_STAGES}", names)
        same = all(tuple(one.stage for one in runtime.artifacts) == names for runtime in self.runtimes)
        _require(same, "programs of the same stages for every runtime", names)
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

    Raises `BundleError` in one line when there is none, when it is not a manifest, or when it is of another schema.
    """
    values = _read_json(folder)
    version = values.get("schema_version")
    if type(version) is int and version != SCHEMA_VERSION:
        mend = "update mobile-diffusion" if version > SCHEMA_VERSION else "export the bundle again"
        raise BundleError(f"{folder}: expected a bundle of schema version {SCHEMA_VERSION}, got {version}; {mend}")
    try:
        return from_dict(Manifest, values)
    except ConfigError as error:
        raise BundleError(f"{folder / MANIFEST}: {error}; export the bundle again") from None


def read_paths(folder: Path) -> set[str]:
    """What a bundle of any schema version lists as its files; raises `BundleError` when there is no such list."""
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
