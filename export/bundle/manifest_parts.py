"""The parts of a bundle's manifest (manifest.py); each checks its values when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePosixPath

from export.signatures import EVERY_STAGE, STAGE_LISTS, STAGES, TensorSpec
from mobile_diffusion.config import APPLIED_GUIDANCE, PREDICTIONS, SOLVERS, SPACINGS
from mobile_diffusion.errors import BundleError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.tokenization.tokenizer import PAIR

MANIFEST = "manifest.json"
DTYPES = ("float32", "int32")
PRECISIONS = ("fp32", "fp16", "w8a16", "int8", "int8-dynamic", "int4-dynamic")
_HEX = frozenset("0123456789abcdef")


def require(condition: bool, expected: str, got: object) -> None:
    """Raise `BundleError` with what was expected and what was found, unless `condition` holds."""
    if not condition:
        raise BundleError(f"{MANIFEST}: expected {expected}, got {quoted(str(got))}; export the bundle again")


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= _HEX


def check_path(path: str) -> str:
    """Return `path`; raises `BundleError` unless it is relative, in POSIX form, and stays in the bundle."""
    parts = PurePosixPath(path).parts
    plain = bool(parts) and "/".join(parts) == path and not path.startswith("/")
    inside = plain and not {"..", "."} & set(parts) and not set(path) & set("\\:\0")
    require(inside, "a relative path that stays in the bundle", path)
    return path


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle; a folder such as an .mlpackage is listed file by file."""

    path: str
    size: int
    """Bytes."""
    sha256: str

    def __post_init__(self) -> None:
        check_path(self.path)
        require(self.path != MANIFEST, "files other than the manifest itself", self.path)
        require(self.size >= 0, f"a size of zero or more for {self.path}", self.size)
        require(_is_sha256(self.sha256), "a SHA-256 in lower case hex", self.sha256)


@dataclass(frozen=True)
class ModelEntry:
    """The model that was exported."""

    name: str
    licence: str
    height: int
    """Pixels of a picture, along with `width`."""
    width: int
    styles: tuple[str, ...]
    """Styles that the model was trained on; a prompt in one ends with ", " and its name."""
    changes: tuple[str, ...]
    """Changes made when the checkpoint was opened: adapters merged, decoder replaced, layers skipped."""
    text_widths: tuple[int, ...]
    """Width of the context per text encoder, in the order in which they are joined."""
    source_sha256: str
    """Hash of the checkpoint, as checkpoint.py computes it; "" for a model built in memory."""

    def __post_init__(self) -> None:
        require(self.source_sha256 == "" or _is_sha256(self.source_sha256), "a SHA-256", self.source_sha256)
        named = len({"", *self.styles}) == 1 + len(self.styles)
        require(named, "styles with different names, none empty", self.styles)
        widths = len(self.text_widths) > 0 and min(self.text_widths) > 0
        require(widths, "text_widths with a positive width per text encoder", self.text_widths)
        require(self.height > 0 and self.width > 0, "a positive height and width", (self.height, self.width))


@dataclass(frozen=True)
class StageEntry:
    """Inputs and outputs of one stage, in order; the same for every runtime."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        require(self.name in EVERY_STAGE, f"a stage of {EVERY_STAGE}", self.name)
        for tensor in (*self.inputs, *self.outputs):
            require(tensor.dtype in DTYPES, f"a dtype of {DTYPES} for {tensor.name}", tensor.dtype)
            require(all(size > 0 for size in tensor.shape), f"a static shape for {tensor.name}", tensor.shape)


@dataclass(frozen=True)
class OperationEntry:
    """An operation of a program, and its number of occurrences."""

    name: str
    count: int

    def __post_init__(self) -> None:
        require(self.count > 0, f"a count above zero for {self.name}", self.count)


@dataclass(frozen=True)
class ArtifactEntry:
    """The program of one stage for one runtime."""

    stage: str
    path: str
    """A file, or a folder whose files are listed under `files`."""
    method: str
    """The function to call inside the program."""
    outputs: tuple[str, ...]
    """The program's names for the stage's outputs: in some formats an output must not have the name of an input."""
    precision: str
    """Arithmetic inside; the dtypes of inputs and outputs are those of the stage."""
    compression: str
    """How the weights are stored; "none" without compression."""
    delegates: int
    """Subgraphs that the runtime delegates to a backend; 0 for a runtime without delegates."""
    undelegated: tuple[OperationEntry, ...]
    """Operations outside the delegates, which portable kernels run."""

    def __post_init__(self) -> None:
        require(self.stage in EVERY_STAGE, f"a stage of {EVERY_STAGE}", self.stage)
        require(len(self.outputs) > 0, "an output at least", self.outputs)
        check_path(self.path)
        require(self.precision in PRECISIONS, f"a precision of {PRECISIONS}", self.precision)
        require(self.delegates >= 0, "a number of delegates", self.delegates)


@dataclass(frozen=True)
class SettingEntry:
    """A choice of the export that an app must know, such as Core ML's compute units."""

    name: str
    value: str

    def __post_init__(self) -> None:
        require(self.name != "", "a setting with a name", self)


@dataclass(frozen=True)
class RuntimeEntry:
    """One way to run the model: a runtime and its programs."""

    name: str
    primary: bool
    """True for the runtime that the app uses by default."""
    verified: bool
    """Whether its programs were run and compared with PyTorch before the bundle appeared."""
    settings: tuple[SettingEntry, ...]
    artifacts: tuple[ArtifactEntry, ...]

    def __post_init__(self) -> None:
        stages = tuple(artifact.stage for artifact in self.artifacts)
        require(stages in STAGE_LISTS, f"one artifact for each stage of {STAGES}", stages)
        names = [setting.name for setting in self.settings]
        require(len(set(names)) == len(names), "every setting once", names)
        compressions = {artifact.compression for artifact in self.artifacts}
        require(len(compressions) == 1, "programs of one compression", compressions)
        precisions = {artifact.precision for artifact in self.artifacts}
        require(len(precisions) == 1, "programs of one precision", precisions)

    @property
    def compression(self) -> str:
        """How its programs store weights."""
        return self.artifacts[0].compression

    @property
    def precision(self) -> str:
        """Arithmetic inside its programs."""
        return self.artifacts[0].precision


@dataclass(frozen=True)
class ScheduleEntry:
    """The sampler inside `denoise`, repeated for inspection (`mobile_diffusion.schedule.StepTable`)."""

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
    starts: tuple[tuple[int, ...], ...]
    guidance_kind: str
    guidance_default: float
    guidance_shares: tuple[float, ...]
    zero_null: bool
    """Whether guidance leads away from zeros, not from the encoded empty prompt, when no negative prompt is given."""
    noise: str
    """Generator of the first latents from a seed."""

    def __post_init__(self) -> None:
        lists = (self.timesteps, self.inputs, self.update, self.noise_factors, self.alphas, self.sigmas)
        lengths = {len(values) for values in lists}
        steps = "lists with one entry for each step, and at least one step"
        require(len(lengths) == 1 and 0 not in lengths, steps, lengths)
        inside = all(path and min(path) >= 0 and max(path) < len(self.timesteps) for path in self.starts)
        require(inside, "starts with rows of the table", self.starts)
        shares = self.guidance_shares
        fits = not shares or (len(shares) == len(self.timesteps) and self.guidance_kind == "cfg")
        require(fits, "a share of the guidance for each step, with guidance_kind cfg", shares)
        require(all(0 <= share <= 1 for share in shares), "guidance_shares from 0 to 1", shares)
        words = {"guidance_kind": APPLIED_GUIDANCE, "solver": SOLVERS, "prediction": PREDICTIONS, "spacing": SPACINGS}
        for name, choices in words.items():
            require(getattr(self, name) in choices, f"a {name} of {choices}", getattr(self, name))
        unguided = self.guidance_kind != "none" or self.guidance_default <= 1
        require(unguided, "a guidance_default of 1 or less without guidance", self.guidance_default)
        shapes = {(len(matrix), *(len(row) for row in matrix)) for matrix in self.update}
        size = len(self.update[0])
        require(shapes == {(size, *[size + 1] * size)}, "matrices of K rows and K + 1 columns", shapes)
        numbers = [value for matrix in self.update for row in matrix for value in row]
        numbers += [value for values in lists if values is not self.update for value in values]  # type: ignore[misc]
        require(all(map(math.isfinite, (*numbers, self.guidance_default))), "finite coefficients", numbers)

    @property
    def memory(self) -> int:
        """Number of tensors that the solver keeps between steps."""
        return len(self.update[0]) - 1

    @property
    def stochastic(self) -> bool:
        """Whether the solver adds noise at its steps."""
        return any(self.noise_factors)


@dataclass(frozen=True)
class TokenizerEntry:
    """How a prompt becomes tokens."""

    kind: str
    max_tokens: int
    files: tuple[str, ...]

    def __post_init__(self) -> None:
        require(len(self.files) > 0, "a tokenizer file", self.files)
        several = len(self.files) == 2 or self.kind != PAIR
        require(several, f"two tokenizer files of kind {PAIR}", self.files)
        for path in self.files:
            check_path(path)


@dataclass(frozen=True)
class ParityEntry:
    """Worst value of one check of one runtime compared with PyTorch; parity.json has the details."""

    runtime: str
    check: str
    metric: str
    worst: float
    limit: float


@dataclass(frozen=True)
class ToolEntry:
    """A package that the export used."""

    name: str
    version: str
