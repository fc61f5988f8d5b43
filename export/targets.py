"""The phones we export for: a plain dictionary.

A target is a list of runtimes, the first of which is its primary one; a runtime says how its programs are
made, where they lie in the bundle and which runner loads them.  Adding one is adding an entry.  Lowerings and
runners are imported when they are called, so naming a target costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from export.bundle import Bundle
from export.manifest import RuntimeEntry
from export.runners import Runner
from export.stages import ExportStage
from mobile_diffusion.errors import ConfigError, ExportError

Stages = Mapping[str, ExportStage]


@dataclass(frozen=True)
class Runtime:
    """One way to run a model on a phone, and here."""

    name: str
    title: str
    """For tables and pictures."""
    lowering: str
    """Module with `lower(stages, folder)`, giving the relative path of each stage's program."""
    runner: str
    """`module:class` of the runner that loads the programs on this machine."""
    folder: str
    """Where in the bundle the programs lie; "" for its root."""
    precision: str
    """Arithmetic inside, by which parity is judged."""
    shared_program: bool
    """True when one file holds the three stages as methods."""
    naming: str
    """`module:function` that says what the program calls a stage's output; "" where it keeps its name."""
    tools: tuple[str, ...]
    """Packages whose versions go into the manifest."""
    extra: str
    """The extra of pyproject.toml that installs them."""
    unverified: str
    """What this machine cannot tell about the runtime."""

    def method(self, stage: str) -> str:
        """The function to call inside the stage's program."""
        return stage if self.shared_program else "main"


@dataclass(frozen=True)
class Target:
    """A phone platform."""

    name: str
    title: str
    runtimes: tuple[Runtime, ...]
    """The first is the primary one."""


EXECUTORCH = Runtime(
    name="executorch",
    title="ExecuTorch",
    lowering="export.executorch.lower",
    runner="export.runners.executorch:ExecuTorchRunner",
    folder="",
    precision="fp32",
    shared_program=True,
    naming="",
    tools=("executorch", "torchao"),
    extra="export",
    unverified="ran on this computer's processor with XNNPACK; no Android phone, GPU or NPU was used",
)
ONNX = Runtime(
    name="onnxruntime",
    title="ONNX Runtime",
    lowering="export.onnx.lower",
    naming="export.onnx.lower:output_name",
    runner="export.runners.onnxruntime:OnnxRuntimeRunner",
    folder="onnx",
    precision="fp32",
    shared_program=False,
    tools=("onnx", "onnxsim", "onnxruntime", "onnxscript"),
    extra="export",
    unverified="ran on this computer's processor; no Android phone, GPU or NPU was used",
)
COREML = Runtime(
    name="coreml",
    title="Core ML program (interpreted)",
    lowering="export.coreml.lower",
    naming="export.coreml.naming:package_output",
    runner="export.runners.coreml_interpreter:CoreMLInterpreterRunner",
    folder="",
    precision="fp16",
    shared_program=False,
    tools=("coremltools",),
    extra="export",
    unverified=(
        "the saved program was interpreted here, operation by operation; Core ML itself, and Apple's CPU, "
        "GPU and Neural Engine, were not used"
    ),
)

TORCH = Runtime(
    name="torch",
    title="PyTorch",
    lowering="",
    naming="",
    runner="",
    folder="",
    precision="fp32",
    shared_program=False,
    tools=("torch",),
    extra="",
    unverified="",
)
"""The reference; not a runtime of any phone."""

TARGETS: dict[str, Target] = {
    "ios": Target("ios", "iOS", (COREML,)),
    "android": Target("android", "Android", (EXECUTORCH, ONNX)),
}
RUNTIMES: dict[str, Runtime] = {runtime.name: runtime for target in TARGETS.values() for runtime in target.runtimes}


def find_target(name: str) -> Target:
    """The named target; raises `ConfigError` with the choices."""
    if name not in TARGETS:
        raise ConfigError(f"target: expected one of {', '.join(TARGETS)}, got {name!r}")
    return TARGETS[name]


def lower(runtime: Runtime, stages: Stages, bundle: Path) -> dict[str, str]:
    """Write the programs of a runtime into a bundle folder; gives the path of each stage's relative to it."""
    folder = bundle / runtime.folder
    folder.mkdir(parents=True, exist_ok=True)
    made = _load(runtime.lowering, runtime).lower(stages, folder)
    paths = {stage: made for stage in stages} if isinstance(made, str) else dict(made)
    return {stage: (Path(runtime.folder) / path).as_posix() for stage, path in paths.items()}


def output_name(runtime: Runtime, stage: ExportStage) -> str:
    """What the runtime's program calls the output of a stage."""
    if not runtime.naming:
        return stage.output.name
    module, function = runtime.naming.split(":")
    return str(getattr(_load(module, runtime), function)(stage))


def load_runner(runtime: Runtime, folder: Path, artifacts: Mapping[str, str], threads: int) -> Runner:
    """Load the programs that `lower` wrote."""
    module, name = runtime.runner.split(":")
    return cast(Runner, getattr(_load(module, runtime), name).load(folder, dict(artifacts), threads=threads))


def open_runner(bundle: Bundle, name: str | None, threads: int) -> tuple[Runtime, Runner]:
    """Load a runtime of an opened bundle, the primary one for None."""
    entry: RuntimeEntry = bundle.runtime(name)
    if entry.name not in RUNTIMES:
        raise ConfigError(f"{bundle.path}: expected a runtime of {', '.join(RUNTIMES)}, got {entry.name!r}")
    runtime = RUNTIMES[entry.name]
    return runtime, load_runner(runtime, bundle.path, bundle.artifacts(entry), threads)


def _load(module: str, runtime: Runtime) -> _Backend:
    try:
        return cast(_Backend, import_module(module))
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{runtime.title} needs the package {error.name}, which is not installed: "
            f"pip install 'mobile-diffusion[{runtime.extra}]'"
        ) from error


class _Backend:
    """What a lowering module looks like to the type checker."""

    lower: Callable[[Stages, Path], str | dict[str, str]]
