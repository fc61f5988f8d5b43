"""Times stages on a runner: median and quartiles after a warm-up, and the conditions of the measurement.

A figure is valid only for the machine that it names.  Times of an interpreter are marked: they say how long a check
takes here, and nothing about a phone.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from export.latency.other_work import watch_others
from export.parity.trajectories import Trajectory, latents_of
from export.runners import Runner
from export.runners.sequential import release
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ExportError
from mobile_diffusion.tiles import latent_tiles
from mobile_diffusion.waiting import wait_policy

Inputs = Mapping[str, Mapping[str, np.ndarray]]
"""stage -> input name -> array."""

KINDS = {"runtime": "runtime", "interpreter": "interpreted: not a device time"}
"""`RunnerLatency.kind` -> its text in a table."""
PACKAGES = {
    "xnnpack": "executorch",
    "onnx": "onnxruntime",
    "coreml-interpreter": "coremltools",
    "coreai": "coreai-core",
    "coreml-native": "coremltools",
    "executorch-coreai": "executorch",
    "executorch-coreml-interpreter": "executorch",
}
"""Runner -> the package whose version is recorded, if its name is another."""
OPTIONAL = ("others", "wait_policy", "thermal")
"""Conditions that not every machine knows."""
WARMUP, RUNS = 2, 10
BUDGET_S = 30.0
"""Seconds after which a stage is not called again, for warm-up and runs each; one call may take longer."""
LARGEST_TOKEN = 1000
"""Random token ids are below it; every vocabulary is larger."""


@dataclass(frozen=True)
class Conditions:
    """The machine at the start of a measurement."""

    processor: str
    cores: int
    """Logical processors."""
    system: str
    load: float | None
    """Load average of the last minute, this process included; None if the system has none.  Above zero at the start,
    the machine was shared."""
    others: float | None = None
    """Share of all cores' time that other processes took during the measurement, 0 to 1; None if it is not known, as on
    a phone."""
    wait_policy: str = ""
    """How OpenMP's threads wait: "active", "passive", "unset"; "" where nothing is known of it."""
    thermal: str = ""
    """How warm a phone was, in its system's word; "" where it does not say, as on a computer."""


@dataclass(frozen=True)
class StageLatency:
    """Times of one stage."""

    stage: str
    median_ms: float
    first_quartile_ms: float
    third_quartile_ms: float
    runs: int
    """Timed calls, without the warm-up."""

    def __post_init__(self) -> None:
        ordered = 0 <= self.first_quartile_ms <= self.median_ms <= self.third_quartile_ms < math.inf
        if not ordered:  # also when one is NaN
            raise ExportError(f"{self.stage}: expected finite times in order, got a median of {self.median_ms} ms")

    @property
    def spread_ms(self) -> float:
        """Interquartile range."""
        return self.third_quartile_ms - self.first_quartile_ms


@dataclass(frozen=True)
class RunnerLatency:
    """Times of one runner."""

    runner: str
    kind: str
    """One of KINDS."""
    version: str
    """Version of the runtime's package; "" if it is not installed as a package."""
    threads: int | None
    """As set for the runtime; None if it chooses itself."""
    stages: tuple[StageLatency, ...]


@dataclass(frozen=True)
class LatencyReport:
    """Times of some runners on one machine."""

    conditions: Conditions
    runners: tuple[RunnerLatency, ...]

    def to_dict(self) -> dict[str, Any]:
        """The content of latency.json; what is not known of the conditions, as on a phone, is left out."""
        values = asdict(self)
        for unknown in [
            name for name, value in values["conditions"].items() if name in OPTIONAL and value in (None, "")
        ]:
            del values["conditions"][unknown]
        for runner in values["runners"]:
            runner["stages"] = [stage | {"spread_ms": _spread(stage)} for stage in runner["stages"]]
        return values


def measure(
    runner: Runner,
    stages: Mapping[str, ExportStage],
    warmup: int = WARMUP,
    runs: int = RUNS,
    seed: int = 0,
    budget_s: float = BUDGET_S,
) -> LatencyReport:
    """Time `stages` on a runner, with random inputs from `seed`."""
    conditions, others = read_conditions(), watch_others()
    times = time_runner(runner, random_inputs(stages, seed), warmup, runs, budget_s)
    return LatencyReport(replace(conditions, others=others()), (times,))


def measure_latency(
    runners: Sequence[Runner], reference: Trajectory, settings: DrawSettings, budget_s: float = BUDGET_S
) -> LatencyReport:
    """Time all stages on every runner, with the inputs of a recorded picture."""
    conditions, inputs, others = read_conditions(), recorded_inputs(reference, settings), watch_others()
    times = tuple(time_runner(each, inputs, budget_s=budget_s) for each in runners)
    return LatencyReport(replace(conditions, others=others()), times)


def time_runner(
    runner: Runner, inputs: Inputs, warmup: int = WARMUP, runs: int = RUNS, budget_s: float = BUDGET_S
) -> RunnerLatency:
    """Time every stage of `inputs` on a runner; raises `ExportError` for fewer than one run."""
    if runs < 1 or warmup < 0:
        raise ExportError(f"expected at least one run and no negative warm-up, got runs={runs}, warmup={warmup}")
    kind = "interpreter" if runner.name.endswith("interpreter") else "runtime"
    threads = getattr(runner, "threads", None)
    times = tuple(_time_stage(runner, stage, arrays, warmup, runs, budget_s) for stage, arrays in inputs.items())
    release(runner)
    return RunnerLatency(runner.name, kind, _version(runner.name), threads, times)


def random_inputs(stages: Mapping[str, ExportStage], seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Inputs of every stage from `seed` alone: the time of a kernel depends on types and shapes, not on values."""
    generator = np.random.default_rng(seed)
    return {name: {spec.name: _random(spec, generator) for spec in stage.inputs} for name, stage in stages.items()}


def recorded_inputs(reference: Trajectory, settings: DrawSettings) -> dict[str, dict[str, np.ndarray]]:
    """Inputs of every stage from a recorded picture: its prompt, its first step, its last latents."""
    latents = latents_of(reference.states[-1:], settings)
    return {
        "encode_text": dict(reference.texts[0]),
        "denoise": reference.step_inputs(0, settings),
        "decode_image": {"latents": next(latent_tiles(settings, latents))},
    }


def read_conditions() -> Conditions:
    """The machine as it is now."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    system = f"{platform.system()} {platform.machine()}"
    return Conditions(_processor(), os.cpu_count() or 1, system, load, wait_policy=wait_policy())


def _time_stage(
    runner: Runner, stage: str, arrays: Mapping[str, np.ndarray], warmup: int, runs: int, budget_s: float
) -> StageLatency:
    _timed(runner, stage, arrays, warmup, budget_s)
    times = _timed(runner, stage, arrays, runs, budget_s)
    first, median, third = (float(value) for value in np.percentile(times, (25, 50, 75)))
    return StageLatency(stage, median, first, third, len(times))


def _timed(runner: Runner, stage: str, arrays: Mapping[str, np.ndarray], runs: int, budget_s: float) -> list[float]:
    """Milliseconds of up to `runs` calls; fewer if they exceed the budget, but at least one if any was asked for."""
    times: list[float] = []
    while len(times) < runs and sum(times) < budget_s * 1000:
        start = time.perf_counter()
        runner.run(stage, **arrays)
        times.append((time.perf_counter() - start) * 1000)
    return times


def _random(spec: TensorSpec, generator: np.random.Generator) -> np.ndarray:
    """Small integers that are valid as token, mask or step; normally distributed floats."""
    if spec.dtype == "float32":
        return generator.standard_normal(spec.shape, np.float32)
    above = {"tokens": LARGEST_TOKEN, "mask": 2}.get(spec.name, 1)
    return generator.integers(0, above, spec.shape, np.int32)


def _spread(stage: Mapping[str, float]) -> float:
    return stage["third_quartile_ms"] - stage["first_quartile_ms"]


def _version(runner: str) -> str:
    try:
        return metadata.version(PACKAGES.get(runner, runner))
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    """The processor's name from Linux, or else from Python."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware"))]
    return next(filter(None, names), platform.processor() or platform.machine())
