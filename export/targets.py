"""The phone platforms we export for, in a plain dictionary.

A target lists its runtimes and names the default ones.  A runtime says which module lowers a stage, where the programs
are stored in the bundle and which runner loads them.  To add a runtime, add an entry.  Lowerings and runners are
imported when they are called, so that importing this module is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from export.bundle.bundle import Bundle
from export.bundle.manifest_parts import RuntimeEntry
from export.coreai.options import CoreAIOptions
from export.coreml.options import CoreMLOptions
from export.delegates.options import DelegateOptions
from export.executorch.options import QnnOptions, VulkanOptions, XnnpackOptions
from export.mixed.names import NONE
from export.mixed.rounded import HalfProgram
from export.onnx.options import OnnxOptions
from export.runners import Runner
from export.runners.runner import check_stage
from export.runners.sequential import SequentialRunner
from export.signatures import Signature, program_outputs
from export.stages import ExportStage
from mobile_diffusion.errors import ConfigError, ExportError
from mobile_diffusion.quoting import quoted

LARGE_BUNDLE = 2 * 1024**3
"""Size of a bundle in bytes above which its programs are loaded one stage at a time."""


class RuntimeOptions(Protocol):
    """What a user chooses for one runtime.  The lowering takes it as its third argument."""

    @property
    def precision(self) -> str:
        """Precision of the program's arithmetic, such as "fp32"."""

    @property
    def compression_name(self) -> str:
        """How weights are stored, as the manifest names it; "none" if they are not compressed."""

    @property
    def calibrated(self) -> bool:
        """Whether the lowering needs `ExportStage.samples`."""

    def settings(self) -> Mapping[str, str]:
        """The choices that an app must know, by name."""


@dataclass(frozen=True)
class Runtime:
    """One way to run a model on a phone and, where a runner exists, on this machine."""

    name: str
    title: str
    """Name shown in tables and pictures."""
    lowering: str
    """Module with `lower(stage, folder)` or `lower(stage, folder, options)`, which returns the program's path."""
    runner: str
    """`module:class` of the runner that loads the programs on this machine; "" if there is none."""
    folder: str
    """Folder of the programs inside the bundle; "" for its root."""
    precision: str
    """Precision of the program's arithmetic, such as "fp32"."""
    named_methods: bool
    """True if the function in a program has the stage's name; otherwise its name is "main"."""
    renames_outputs: bool
    """True if no output may have the name of an input."""
    tools: tuple[str, ...]
    """Packages whose versions are recorded in the manifest."""
    extra: str
    """The extra of pyproject.toml that installs these packages."""
    unverified: str
    """What was run on this machine and what was not, in words."""
    options: RuntimeOptions | None = None
    """Choices for one export; None if the runtime has none."""
    compression: str = "none"
    """How the programs store weights."""
    requirement: str = ""
    """Module with `check()`, which raises if something is missing that no extra installs; "" for none."""
    half: str = ""
    """Module with `half_program(stage, options)`: what float16 touches in a program; "" if nothing is ever float16."""
    whole: str = "--runtime xnnpack"
    """What to give for float32 everywhere, where modules cannot be named."""
    half_weights: bool = False
    """Whether precision fp16 means weights in float16, and arithmetic in float32."""

    @property
    def grade(self) -> str:
        """Precision and compression: the key of the parity limits."""
        return graded(self.precision, self.compression)

    def chosen(self, options: RuntimeOptions) -> Runtime:
        """Return this runtime with a user's choices."""
        return replace(self, options=options, precision=options.precision, compression=options.compression_name)

    def at(self, precision: str) -> Runtime:
        """Return this runtime at another precision; raises `ConfigError` with the choices if it does not offer it."""
        options: Any = self.options
        if options is None or "precision" not in {field.name for field in fields(options)}:
            raise ConfigError(f"precision: expected {self.precision} for {self.name}, got {quoted(precision)}")
        return self.chosen(replace(options, precision=precision))

    def mixed(self, choice: str) -> Runtime:
        """Return this runtime, which `takes_names`, with another choice of modules that stay in float32."""
        options: Any = self.options
        return self.chosen(replace(options, mixed_precision=choice))

    def has(self, precision: str) -> bool:
        """Return whether the runtime offers this precision."""
        try:
            self.at(precision)
        except ConfigError:
            return False
        return True

    @property
    def has_half(self) -> bool:
        """Whether something of its programs is float16."""
        return self.precision == "fp16" and self.half != ""

    @property
    def takes_names(self) -> bool:
        """Whether modules of its programs can stay in float32 while the rest is float16."""
        return self.has_half and hasattr(self.options, "mixed_precision")

    @property
    def mixed_precision(self) -> str:
        """The user's choice of modules that stay in float32 (export/mixed/names.py); "none" for a runtime without."""
        return str(getattr(self.options, "mixed_precision", NONE)) if self.has_half else NONE

    @property
    def runs_here(self) -> bool:
        """Whether this machine can run the programs.  If not, they are lowered but not compared with the reference."""
        return bool(self.runner)

    def method(self, stage: str) -> str:
        """Return the name of the function to call in the stage's program."""
        return stage if self.named_methods else "main"

    def outputs(self, signature: Signature) -> tuple[str, ...]:
        """Return the names that a program gives to the outputs of its stage."""
        return program_outputs(signature) if self.renames_outputs else tuple(spec.name for spec in signature.outputs)


@dataclass(frozen=True)
class Target:
    """A phone platform."""

    name: str
    title: str
    runtimes: tuple[Runtime, ...]
    """All runtimes of this platform."""
    defaults: tuple[str, ...]
    """Names of the runtimes that are exported by default; the first one is the primary runtime."""


XNNPACK = Runtime(
    name="xnnpack",
    title="ExecuTorch",
    lowering="export.executorch.lower",
    runner="export.runners.executorch:ExecuTorchRunner",
    folder="",
    precision="fp32",
    named_methods=True,
    renames_outputs=False,
    tools=("executorch", "torchao"),
    extra="export",
    unverified="ran on this computer's processor with XNNPACK; no Android phone, GPU or NPU was used",
    options=XnnpackOptions(),
    half="export.executorch.mixed",
    half_weights=True,
)
VULKAN = Runtime(
    name="vulkan",
    title="ExecuTorch (Vulkan)",
    lowering="export.executorch.vulkan",
    runner="",
    folder="vulkan",
    precision="fp32",
    named_methods=True,
    renames_outputs=False,
    tools=("executorch",),
    extra="export",
    unverified="was lowered, but not run: there is no Vulkan runtime of ExecuTorch for this computer, and no phone",
    options=VulkanOptions(),
    half="export.executorch.mixed",
    whole="--precision fp32",
)
QNN = Runtime(
    name="qnn",
    title="ExecuTorch (QNN)",
    lowering="export.executorch.qnn",
    runner="",
    folder="qnn",
    precision="fp16",
    named_methods=True,
    renames_outputs=False,
    tools=("executorch",),
    extra="export",
    unverified="was lowered, but not run: Qualcomm's NPU is only in phones",
    options=QnnOptions(),
    half="export.executorch.mixed",
    requirement="export.executorch.qnn",
)
ONNX = Runtime(
    name="onnx",
    title="ONNX Runtime",
    lowering="export.onnx.lower",
    runner="export.runners.onnxruntime:OnnxRuntimeRunner",
    folder="onnx",
    precision="fp32",
    named_methods=False,
    renames_outputs=True,
    tools=("onnx", "onnxsim", "onnxruntime", "onnxscript"),
    extra="export",
    unverified="ran on this computer's processor; no Android phone, GPU or NPU was used",
    options=OnnxOptions(),
)
COREML = Runtime(
    name="coreml",
    title="Core ML program (interpreted)",
    lowering="export.coreml.produce",
    runner="export.runners.coreml_interpreter:CoreMLInterpreterRunner",
    folder="",
    precision="fp16",
    named_methods=False,
    renames_outputs=True,
    tools=("coremltools",),
    extra="export",
    unverified=(
        "the saved program was interpreted here, operation by operation; Core ML itself, and Apple's CPU, "
        "GPU and Neural Engine, were not used"
    ),
    options=CoreMLOptions(),
    half="export.coreml.mixed",
)
COREAI = Runtime(
    name="coreai",
    title="Core AI",
    lowering="export.coreai.lower",
    runner="export.runners.coreai:CoreAIRunner",
    folder="coreai",
    precision="fp16",
    named_methods=False,
    renames_outputs=False,
    tools=("coreai-core", "coreai-torch"),
    extra="coreai",
    unverified=(
        "ran here on Apple's own runtime for Linux, on the processor; no iPhone, GPU or Neural Engine was used"
    ),
    options=CoreAIOptions(),
    requirement="export.coreai.toolchain",
    half="export.coreai.mixed",
    whole="--coreai-precision fp32",
)
EXECUTORCH = Runtime(
    name="executorch",
    title="ExecuTorch for iPhones (delegate's program)",
    lowering="export.delegates.lower",
    runner="export.runners.delegated:DelegatedRunner",
    folder="executorch",
    precision="fp16",
    named_methods=True,
    renames_outputs=False,
    tools=("executorch", "coremltools"),
    extra="export",
    unverified=(
        "the program in each .pte was taken out and run here: Core ML's by an interpreter, Core AI's by Apple's own "
        "runtime for Linux; ExecuTorch's delegates, and Apple's GPU and Neural Engine, were not used"
    ),
    options=DelegateOptions(),
)

TORCH = Runtime(
    name="torch",
    title="PyTorch",
    lowering="",
    runner="",
    folder="",
    precision="fp32",
    named_methods=False,
    renames_outputs=False,
    tools=("torch",),
    extra="",
    unverified="",
)
"""The reference; no phone uses it."""

TARGETS: dict[str, Target] = {
    "ios": Target("ios", "iOS", (COREML, COREAI, EXECUTORCH), ("coreml",)),
    "android": Target("android", "Android", (XNNPACK, VULKAN, QNN, ONNX), ("xnnpack", "onnx")),
}
RUNTIMES: dict[str, Runtime] = {runtime.name: runtime for target in TARGETS.values() for runtime in target.runtimes}


def graded(precision: str, compression: str) -> str:
    """Return the key of a precision and a compression in the limits of `export/parity/gates.py`."""
    return precision if compression == "none" else f"{precision} {compression}"


def find_target(name: str) -> Target:
    """Return the named target; raises `ConfigError` with the choices if there is none of that name."""
    if name not in TARGETS:
        raise ConfigError(f"target: expected one of {', '.join(TARGETS)}, got {quoted(name)}")
    return TARGETS[name]


def lower(runtime: Runtime, stage: ExportStage, bundle: Path) -> str:
    """Write a stage's program for a runtime into a bundle folder; returns its path relative to the folder.

    Raises `ExportError` when the runtime's packages are not installed or no program was written.
    """
    folder = bundle / runtime.folder
    folder.mkdir(parents=True, exist_ok=True)
    choices = () if runtime.options is None else (runtime.options,)
    path = Path(runtime.folder) / _load(runtime.lowering, runtime).lower(stage, folder, *choices)
    if not (bundle / path).exists():
        raise ExportError(f"{runtime.title}: expected a program for {stage.name}, got none from the lowering")
    return path.as_posix()


def half_program(runtime: Runtime, stage: ExportStage) -> HalfProgram:
    """Return what float16 touches in a runtime's program of a stage, for measurements in PyTorch."""
    return _load(runtime.half, runtime).half_program(stage, runtime.options)


def check_requirement(runtime: Runtime) -> None:
    """Raise `ExportError` if nothing can be exported for a runtime on this machine; called before any work starts."""
    if runtime.requirement:
        _load(runtime.requirement, runtime).check()


def load_runner(
    runtime: Runtime, folder: Path, artifacts: Mapping[str, str], threads: int, one_at_a_time: bool = False
) -> Runner:
    """Load the programs that `lower` wrote, all at once or (`one_at_a_time`) each when it is first called.

    `artifacts` maps stage names to paths relative to `folder`.  Raises `ConfigError` if this machine cannot run the
    runtime, and `ExportError` if its packages are not installed.
    """
    if not runtime.runs_here:
        raise ConfigError(f"runtime: expected one that can run here, got {runtime.name}: it {runtime.unverified}")
    module, name = runtime.runner.split(":")
    load = getattr(_load(module, runtime), name).load
    if not one_at_a_time:
        return cast(Runner, load(folder, dict(artifacts), threads=threads))

    def load_stage(stage: str) -> Runner:
        check_stage(stage, artifacts)
        return cast(Runner, load(folder, {stage: artifacts[stage]}, threads=threads))

    return SequentialRunner(runtime.name, threads, load_stage)


def open_runner(bundle: Bundle, name: str | None, threads: int) -> tuple[Runtime, Runner]:
    """Load a runtime of an opened bundle, the primary one if `name` is None.

    A bundle larger than LARGE_BUNDLE is loaded one stage at a time.  Raises `ConfigError` for an unknown runtime, and
    for one that this machine cannot run.
    """
    entry: RuntimeEntry = bundle.runtime(name)
    if entry.name not in RUNTIMES:
        raise ConfigError(f"{bundle.path}: expected a runtime of {', '.join(RUNTIMES)}, got {quoted(entry.name)}")
    runtime = replace(RUNTIMES[entry.name], precision=entry.precision, compression=entry.compression)
    large = sum(file.size for file in bundle.manifest.files) > LARGE_BUNDLE
    return runtime, load_runner(runtime, bundle.path, bundle.artifacts(entry), threads, large)


def _load(module: str, runtime: Runtime) -> _Backend:
    try:
        return cast(_Backend, import_module(module))
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{runtime.title} needs the package {error.name}, which is not installed: "
            f"pip install 'mobile-diffusion[{runtime.extra}]'"
        ) from error


class _Backend:
    """The interface of a lowering module, for the type checker."""

    lower: Callable[..., str]
    check: Callable[[], None]
    half_program: Callable[..., HalfProgram]
