"""Compares runners with recorded trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from export.parity.measure import Measurement, checks_of, measure
from export.parity.report import ParityReport, build_report
from export.parity.trajectories import Trajectory
from export.runners import Runner
from export.runners.sequential import release
from export.runtime import Runtime
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.schedule import StepTable

Pictures = Mapping[tuple[str, str], NDArray[np.float32]]
"""(runtime, case) -> picture (1, 3, H, W) that the runtime drew by itself."""


def compare_runners(
    runners: Sequence[tuple[Runtime, Runner]],
    trajectories: Sequence[Trajectory],
    settings: DrawSettings,
    table: StepTable,
    depth: str,
    progress: Progress = silent,
) -> tuple[ParityReport, Pictures]:
    """Compare every runner with every trajectory; the report is not yet required to pass."""
    pictures: dict[tuple[str, str], NDArray[np.float32]] = {}
    measurements: dict[str, list[Measurement]] = {}
    for number, (runtime, runner) in enumerate(runners):
        for index, trajectory in enumerate(trajectories):
            done = (number + index / len(trajectories)) / len(runners)
            progress(f"comparing {runtime.title} with PyTorch", done)
            distances, picture = measure(runtime.name, runner, trajectory, settings, table, depth)
            measurements.setdefault(runtime.name, []).extend(distances)
            pictures[runtime.name, str(trajectory.case)] = picture
        release(runner)
    checks = checks_of(depth, trajectories)
    precisions = {runtime.name: runtime.grade for runtime, _ in runners}
    guidance = trajectories[0].guidance if settings.guidance_kind == "cfg" else 1.0
    return build_report(measurements, precisions, checks, guidance), pictures
