"""The platforms we export for, in a plain dictionary.

A target lists its runtimes and names the default ones.  A runtime says which module lowers a stage, where the programs
are stored in the bundle and which runner loads them.  To add a runtime, add an entry.  Lowerings and runners are
imported when they are called, so that importing this module is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast

from export.bundle.bundle import Bundle
from export.bundle.manifest_parts import RuntimeEntry
from export.coreai.options import CoreAIOptions
from export.coreml.options import CoreMLOptions
from export.delegates.options import DelegateOptions
from export.executorch.options import QnnOptions, VulkanOptions, XnnpackOptions
from export.mixed.rounded import HalfProgram
from export.onnx.options import OnnxOptions
from export.runners import Runner
from export.runners.isolated import IsolatedRunner
from export.runners.runner import check_stage
from export.runners.sequential import SequentialRunner
from export.runtime import Runtime
from export.stages import ExportStage
from mobile_diffusion.errors import ConfigError, ExportError
from mobile_diffusion.quoting import quoted

NATIVE = frozenset({"xnnpack", "onnx"})
"""Runtimes that open programs by native code inside this process; Core AI has a process of its own anyway."""
LARGE_BUNDLE = 2 * 1024**3
"""Size of a bundle in bytes above which its programs are loaded one stage at a time."""


@dataclass(frozen=True)
class Target:
    """A platform: a kind of phone, or browsers."""

    name: str
    title: str
    runtimes: tuple[Runtime, ...]
    """All runtimes of this platform."""
    defaults: tuple[str, ...]
    """Names of the runtimes that are exported by default; the first one is the primary runtime."""
    precisions: tuple[str, ...] = ()
    """Precisions that make sense there; empty for all that its runtimes have."""


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
    unverified="ran on this computer's processor; no Android phone, browser, GPU or NPU was used",
    options=OnnxOptions(),
    half_weights=True,
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
    half="export.coreai.graph",
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
    half="export.delegates.mixed",
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
    "web": Target("web", "the web", (ONNX.at("fp16"),), ("onnx",), ("fp16", "int8", "fp32")),
}
RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime for runtime in (COREML, COREAI, EXECUTORCH, XNNPACK, VULKAN, QNN, ONNX)
}


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


def open_runner(bundle: Bundle, name: str | None, threads: int, isolated: bool = False) -> tuple[Runtime, Runner]:
    """Load a runtime of an opened bundle, the primary one if `name` is None.

    A bundle larger than LARGE_BUNDLE is loaded one stage at a time.  With `isolated`, native code that opens the
    programs has a process of its own, for bundles that nobody has verified.  Raises `ConfigError` for an unknown
    runtime, and for one that this machine cannot run.
    """
    entry: RuntimeEntry = bundle.runtime(name)
    if entry.name not in RUNTIMES:
        raise ConfigError(f"{bundle.path}: expected a runtime of {', '.join(RUNTIMES)}, got {quoted(entry.name)}")
    runtime = replace(RUNTIMES[entry.name], precision=entry.precision, compression=entry.compression)
    large = sum(file.size for file in bundle.manifest.files) > LARGE_BUNDLE
    artifacts = bundle.artifacts(entry)
    if isolated and runtime.name in NATIVE:
        load = partial(load_runner, runtime, bundle.path.resolve(), artifacts, threads, large)
        return runtime, IsolatedRunner.load(load, artifacts, runtime.name, threads)
    return runtime, load_runner(runtime, bundle.path, artifacts, threads, large)


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
