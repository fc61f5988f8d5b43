"""Measures a bundle with Core ML: every stage on every compute unit, its times, its plan, its distance from PyTorch.

UNVERIFIED until a Mac has run it; the tests replace Core ML by a stand-in.  A failure on one compute unit is recorded,
and the other units are still measured, so one run tells everything.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from export.bundle.bundle import Bundle, open_bundle
from export.bundle.manifest_parts import MANIFEST
from export.coreml.options import COMPUTE_UNITS
from export.coreml.package_archive import CoreMLPackage
from export.latency.measure import Inputs, recorded_inputs, time_runner
from export.parity.compare import compare_runners
from export.parity.trajectories import Trajectory
from export.runners import Runner
from export.runners.coreml_native import CoreMLNativeRunner, loaded_model
from export.runtime import Runtime
from export.signatures import HINT
from export.studies.mac.plan import read_plan
from export.studies.mac.record import (
    FORMAT,
    SCHEMA_VERSION,
    BundleIdentity,
    CheckMeasured,
    Compilation,
    MacMeasurements,
    StageMeasured,
    System,
    UnitMeasured,
    is_verified,
)
from export.studies.mac.surface import CoreML, open_core_ml, read_system
from export.targets import COREML, open_runner
from export.verify import depth_of, read_trajectories
from mobile_diffusion.decibels import json_number, snr_db, worst
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.quoting import quoted
from mobile_diffusion.tiles import image_tiles

Outputs = Mapping[str, Mapping[str, np.ndarray]]
"""stage -> output name -> array."""
Result = TypeVar("Result")
WARMUP, RUNS = 3, 20
"""Calls of the warm-up, and timed calls."""


def measure_bundle(
    path: Path,
    units: Sequence[str] = COMPUTE_UNITS,
    threads: int = 2,
    progress: Progress = silent,
    core_ml: CoreML | None = None,
    system: System | None = None,
) -> MacMeasurements:
    """Measure an iOS bundle on this Mac; `core_ml` and `system` default to those of this Mac.

    Raises:
        ExportError: not on macOS.
        BundleError: the bundle is damaged.
        ConfigError: an unknown compute unit, or a bundle that is not for iOS.
    """
    check_units(units)
    native = open_core_ml() if core_ml is None else core_ml
    mac = read_system() if system is None else system
    progress(f"checking the files of {path}", 0.0)
    bundle = open_bundle(path)
    trajectories = read_trajectories(bundle)
    progress("running the interpreter", 0.05)
    runtime, interpreter = open_runner(bundle, COREML.name, threads)
    inputs = inputs_of(trajectories, bundle)
    expected = {stage: interpreter.run(stage, **arrays) for stage, arrays in inputs.items()}
    with tempfile.TemporaryDirectory() as scratch:
        progress("compiling", 0.15)
        packages = {stage: path / place for stage, place in bundle.artifacts(bundle.runtime(COREML.name)).items()}
        compilations = [compile_stage(native, stage, package, Path(scratch)) for stage, package in packages.items()]
        measured = []
        for index, unit in enumerate(units):
            progress(f"measuring on {unit}", 0.2 + 0.8 * index / len(units))
            on_unit = UnitMeasurement(native, unit, runtime, bundle, packages, Path(scratch))
            measured.append(on_unit.measure(inputs, expected, trajectories))
    progress("measured", 1.0)
    found = tuple(measured)
    return MacMeasurements(
        FORMAT, SCHEMA_VERSION, is_verified(found), mac, identity(bundle), tuple(compilations), found
    )


def check_units(units: Sequence[str]) -> None:
    """Raise `ConfigError` for an unknown compute unit, or an empty list."""
    for unit in units or ("nothing",):
        if unit not in COMPUTE_UNITS:
            raise ConfigError(f"compute_units: expected one of {', '.join(COMPUTE_UNITS)}, got {quoted(unit)}")


def identity(bundle: Bundle) -> BundleIdentity:
    """The identity of a bundle."""
    digest = hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest()
    return BundleIdentity(bundle.manifest.model.name, digest)


def inputs_of(trajectories: Sequence[Trajectory], bundle: Bundle) -> Inputs:
    """Inputs of every stage of the bundle, from its golden vectors."""
    settings = bundle.settings()
    inputs = dict(recorded_inputs(trajectories[0], settings))
    sources = [trajectory.source for trajectory in trajectories if trajectory.source is not None]
    hints = [trajectory.hints for trajectory in trajectories if trajectory.hints is not None]
    inputs |= {HINT: {"hints": hints[0]}} if hints else {}
    return inputs | ({"encode_image": {"image": next(image_tiles(settings, sources[0]))}} if sources else {})


def compile_stage(core_ml: CoreML, stage: str, package: Path, folder: Path) -> Compilation:
    """Compile a package into `<stage>.mlmodelc`."""
    try:
        _, taken = timed(lambda: core_ml.compile(package, folder / f"{stage}.mlmodelc"))
    except Exception as error:  # Core ML's errors share no other base
        return Compilation(stage, None, described(error))
    return Compilation(stage, taken, "")


class UnitMeasurement:
    """The measurement on one choice of compute units."""

    def __init__(
        self, core_ml: CoreML, unit: str, runtime: Runtime, bundle: Bundle, packages: Mapping[str, Path], folder: Path
    ) -> None:
        self.core_ml, self.unit, self.runtime, self.bundle = core_ml, unit, runtime, bundle
        self.packages, self.folder = packages, folder
        self.runner = CoreMLNativeRunner({})

    def measure(self, inputs: Inputs, expected: Outputs, trajectories: Sequence[Trajectory]) -> UnitMeasured:
        """Measure all stages, then the golden vectors if every stage ran."""
        stages = tuple(self.stage(stage, arrays, expected[stage]) for stage, arrays in inputs.items())
        broken = [stage.stage for stage in stages if stage.problem]
        if broken:
            return UnitMeasured(self.unit, stages, (), f"not every stage ran: {', '.join(broken)}")
        try:
            return UnitMeasured(self.unit, stages, self.checks(trajectories), "")
        except Exception as error:
            return UnitMeasured(self.unit, stages, (), described(error))

    def stage(self, stage: str, arrays: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> StageMeasured:
        """Load a stage, call it, time it, and read its plan."""
        found = StageMeasured(stage, None, None, None, None, None, 0, None, (), "", "")
        compiled = self.folder / f"{stage}.mlmodelc"
        try:
            model, load_ms = timed(lambda: self.core_ml.load(compiled, self.unit))
            found = replace(found, load_ms=load_ms)
            self.add(stage, model)
            outputs, first_ms = timed(lambda: self.runner.run(stage, **arrays))
            found = replace(found, first_ms=first_ms, interpreter_db=json_number(worst_snr(expected, outputs)))
            return self.with_plan(self.with_times(found, arrays), compiled)
        except Exception as error:
            return replace(found, problem=described(error))

    def add(self, stage: str, model: Any) -> None:
        """Add a loaded stage to the runner."""
        loaded = loaded_model(model, CoreMLPackage.open(self.packages[stage]).spec)
        self.runner = CoreMLNativeRunner({**self.runner.models, stage: loaded})

    def with_times(self, found: StageMeasured, arrays: Mapping[str, np.ndarray]) -> StageMeasured:
        """The stage with the times of its later calls."""
        (times,) = time_runner(self.runner, {found.stage: arrays}, WARMUP, RUNS).stages
        return replace(
            found,
            median_ms=times.median_ms,
            first_quartile_ms=times.first_quartile_ms,
            third_quartile_ms=times.third_quartile_ms,
            runs=times.runs,
        )

    def with_plan(self, found: StageMeasured, compiled: Path) -> StageMeasured:
        """The stage with Core ML's plan, or with the reason why there is none."""
        try:
            return replace(found, plan=read_plan(self.core_ml, compiled, self.unit))
        except Exception as error:
            return replace(found, plan_problem=described(error))

    def checks(self, trajectories: Sequence[Trajectory]) -> tuple[CheckMeasured, ...]:
        """The bundle's golden vectors, teacher-forced and free-running, down to the picture."""
        settings, depth = self.bundle.settings(), depth_of(self.bundle, trajectories)
        pair: tuple[Runtime, Runner] = (self.runtime, self.runner)
        report, _ = compare_runners([pair], trajectories, settings, self.bundle.step_table(), depth)
        return tuple(
            CheckMeasured(row.check, row.metric, json_number(row.worst), row.limit, row.passed) for row in report.rows()
        )


def worst_snr(expected: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> float:
    """The least signal-to-noise ratio of a stage's outputs; NaN if any is NaN."""
    return worst(snr_db(value, outputs[name]) for name, value in expected.items())


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """Return a function's result, and its milliseconds."""
    start = time.perf_counter()
    result = function()
    return result, (time.perf_counter() - start) * 1000


def described(error: Exception) -> str:
    """An error of any library as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
