"""Checks, before the work starts, that this computer has enough memory and disk for an export.

An estimate is a linear fit to measured peaks: a base (Python, torch and the backend), plus factors for the stage's
float32 weights and for its peak activations.  An export holds one network at once (large models) or all of them.
free_space.py measures what there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from export.delegates.options import DelegateOptions
from export.job.free_space import available_memory, free_disk
from export.job.plan import ExportPlan
from export.mixed.names import AUTO, CHECKPOINT, NONE
from export.runtime import Runtime
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import ExportError
from mobile_diffusion.inspection import StageCost, stage_costs
from mobile_diffusion.units import GB, MB

OTHER_FILES = 50 * MB
"""Tokenizer, golden vectors and report of a bundle."""
EXPORT = 350 * MB
"""Memory of the export's process besides the work: torch, modules of the backends, recorded tensors."""


@dataclass(frozen=True)
class Line:
    """Peak memory of one kind of work."""

    base: int
    """Bytes for any stage."""
    weights: float
    """Bytes per byte of the stage's float32 weights."""
    activations: float = 0.0
    """Bytes per byte of its peak float32 activations."""
    scores: float = 0.0
    """The same if the peak is the scores of an attention, which some runtimes never hold whole."""

    def at(self, cost: StageCost) -> int:
        """Bytes for a stage."""
        factor = self.scores if cost.peak.startswith("softmax") else self.activations
        return EXPORT + self.base + int(self.weights * cost.weight_bytes["fp32"] + factor * cost.activation_bytes)


@dataclass(frozen=True)
class Needs:
    """What a runtime needs on this computer."""

    lowering: Line
    running: Line | None
    """While its program is compared with PyTorch; None if it is not."""
    disk: float
    """Bytes in the bundle per byte of float32 weights."""


# Measured on the stages of Stable Diffusion 1.5 at 512 pixels, each in a process of its own, memory that is only mapped
# from files left out (benchmarks/checkpoints/full_size_stages.py).  The figures are GB for lowering and for running
# denoise:
NEEDS: dict[str, Needs] = {
    # 4.1 and 2.8; weights are mapped from the package while it is interpreted
    "coreml": Needs(Line(650 * MB, 1.0), Line(550 * MB, 0.0, 1.25, 1.0), 0.5),
    # 7.4 and 4.2; the weights twice in float32 and once in float16 while they are converted
    "coreai": Needs(Line(650 * MB, 2.0), Line(650 * MB, 1.0, 1.35, 1.0), 0.5),
    # 4.1 and 4.0; XNNPACK packs weights when it loads them
    "xnnpack": Needs(Line(650 * MB, 1.0), Line(500 * MB, 1.0, 1.1, 0.05), 1.0),
    # as XNNPACK; run nowhere
    "vulkan": Needs(Line(650 * MB, 1.0), None, 1.0),
    "qnn": Needs(Line(650 * MB, 1.0), None, 0.5),
    # 3.9 and 6.0; ONNX Runtime packs weights when it loads them, beside 1.1 GB that ExecuTorch's run before it has left
    "onnx": Needs(Line(550 * MB, 1.0), Line(1500 * MB, 1.0, 1.7, 1.05), 1.0),
}
PAYLOAD = 0.5
"""Bytes per byte of float32 weights for the program inside a delegate, while a file is written around it, and while it
is taken out again.  Not measured: it is the size of the program."""
REFERENCE = Line(550 * MB, 1.0, 1.35, 0.05)
"""PyTorch: 4.0 GB for denoise."""
MEASURING = Line(650 * MB, 1.1, 4.0, 4.0)
"""Choosing modules for float32.  Not measured at full size: it counts what one operation holds at most, its operands
and its result, each also rounded."""


@dataclass(frozen=True)
class Estimate:
    """What one stage needs with one runtime."""

    work: str
    """What needs the memory, in words: "lower denoise for Core ML"."""
    memory_bytes: int
    """Peak."""
    disk_bytes: int
    """Bytes that stay in the bundle."""


def needs_of(runtime: Runtime) -> Needs:
    """What a runtime needs; ExecuTorch on an iPhone what the runtime of its delegate needs, and the payload."""
    options = runtime.options
    if not isinstance(options, DelegateOptions):
        return NEEDS[runtime.name]
    inside = NEEDS[options.delegate]
    lowering = replace(inside.lowering, weights=inside.lowering.weights + PAYLOAD)
    running = inside.running and replace(inside.running, weights=inside.running.weights + PAYLOAD)
    return replace(inside, lowering=lowering, running=running)


def estimate(cost: StageCost, runtime: Runtime, held: int = 0) -> Estimate:
    """The peak of lowering a stage and checking it against PyTorch, beside `held` bytes of other networks."""
    needs = needs_of(runtime)
    title = runtime.title.partition(" (")[0]
    works = {
        f"lower {cost.name} for {title}": needs.lowering.at(cost),
        f"run {cost.name} with PyTorch": REFERENCE.at(cost),
    }
    if runtime.mixed_precision == AUTO:
        works[f"measure {cost.name} with PyTorch"] = MEASURING.at(cost)
    if needs.running is not None:
        works[f"run {cost.name} with {title}"] = needs.running.at(cost)
    work = max(works, key=lambda name: works[name])
    stored = 0.5 if runtime.half_weights and runtime.precision == "fp16" else needs.disk
    disk = stored if runtime.mixed_precision in (CHECKPOINT, NONE) else 1.0
    return Estimate(work, works[work] + held, int(disk * cost.weight_bytes["fp32"]))


def estimate_export(config: ModelConfig, plan: ExportPlan) -> tuple[Estimate, ...]:
    """What every stage of a plan needs with each runtime; takes seconds and does not load the model."""
    costs = [cost for cost in stage_costs(config) if cost.name in plan.stages]
    weights = {cost.name: cost.weight_bytes["fp32"] for cost in costs}
    return tuple(
        estimate(cost, runtime, 0 if plan.large else sum(weights.values()) - weights[cost.name])
        for runtime in plan.runtimes
        for cost in costs
    )


def check_resources(estimates: Iterable[Estimate], out: Path) -> None:
    """Raise `ExportError`, with figures, unless there is enough memory and disk for an export to `out`."""
    estimates = tuple(estimates)
    largest, memory = max(estimates, key=lambda each: each.memory_bytes), available_memory()
    if largest.memory_bytes > memory:
        raise ExportError(
            f"expected about {_gigabytes(largest.memory_bytes)} of free memory to {largest.work}, got "
            f"{_gigabytes(memory)}; close other programs, or choose a slimmer model or a smaller picture"
        )
    needed, free = sum(each.disk_bytes for each in estimates) + OTHER_FILES, free_disk(out)
    if needed > free:
        raise ExportError(
            f"{out}: expected about {_gigabytes(needed)} of free disk for the bundle, got {_gigabytes(free)}; "
            "make room or choose another --out"
        )


def _gigabytes(size: int) -> str:
    return f"{size / GB:.1f} GB"
