"""Times that are known beforehand, from a runner that sleeps by a clock of the test's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import pytest

from export.latency import measure as module
from export.latency.measure import StageLatency, measure, measure_latency, random_inputs
from export.parity.record import record
from export.parity.trajectories import Case
from export.runners.torch import TorchRunner
from export.signatures import STAGES
from export.stages import ExportStage
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ExportError


class ClockRunner:
    """Takes 100 ms for the first two calls of a stage, then 1, 2, 3, ... ms."""

    def __init__(self, name: str = "torch") -> None:
        self.name, self.threads, self.now = name, 3, 0.0
        self.calls: dict[str, int] = {}

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        call = self.calls.get(stage, 0)
        self.calls[stage] = call + 1
        self.now += 0.1 if call < 2 else (call - 1) / 1000
        return {}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ClockRunner:
    runner = ClockRunner()
    monkeypatch.setattr(module.time, "perf_counter", lambda: runner.now)
    return runner


def test_median_and_quartiles_without_the_warm_up(clock: ClockRunner, tiny_stages: Mapping[str, ExportStage]) -> None:
    (found,) = measure(clock, tiny_stages, warmup=2, runs=5).runners
    assert [stage.stage for stage in found.stages] == list(STAGES)
    for stage in found.stages:
        times = (stage.first_quartile_ms, stage.median_ms, stage.third_quartile_ms, stage.spread_ms)
        assert times == pytest.approx((2, 3, 4, 2))
        assert stage.runs == 5
    assert clock.calls == dict.fromkeys(STAGES, 7)


def test_a_slow_stage_is_run_less_often(clock: ClockRunner, tiny_stages: Mapping[str, ExportStage]) -> None:
    """Calls of 100, 100, 1, 2, ... ms against a budget of 150 ms."""
    (found,) = measure(clock, tiny_stages, warmup=0, runs=5, budget_s=0.15).runners
    assert [stage.runs for stage in found.stages] == [2, 2, 2]


def test_conditions_are_recorded(clock: ClockRunner, tiny_stages: Mapping[str, ExportStage]) -> None:
    report = measure(clock, tiny_stages, warmup=0, runs=1)
    assert report.conditions.processor and report.conditions.cores >= 1
    assert (report.runners[0].threads, report.runners[0].kind) == (3, "runtime")
    assert report.runners[0].version.startswith("2.")  # torch's
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["runners"][0]["stages"][0]["spread_ms"] == 0.0


def test_an_interpreters_times_are_marked(tiny_stages: Mapping[str, ExportStage]) -> None:
    report = measure(ClockRunner("coreml-interpreter"), tiny_stages, warmup=0, runs=1)
    assert report.runners[0].kind == "interpreter"
    assert "not a device time" in module.KINDS[report.runners[0].kind]


def test_inputs_come_from_the_seed_and_fit(tiny_stages: Mapping[str, ExportStage], torch_runner: TorchRunner) -> None:
    first, again, other = (random_inputs(tiny_stages, seed) for seed in (0, 0, 1))
    for stage, arrays in first.items():
        torch_runner.run(stage, **arrays)  # checks every dtype and shape
        assert all(np.array_equal(array, again[stage][name]) for name, array in arrays.items())
    assert not np.array_equal(first["decode_image"]["latents"], other["decode_image"]["latents"])


def test_recorded_inputs_fit_every_stage(tiny_model: Model, torch_runner: TorchRunner) -> None:
    settings = DrawSettings.of(tiny_model.config)
    reference = record(torch_runner, tiny_model.tokenizer, settings, Case("a cat", 1))
    report = measure_latency([torch_runner, torch_runner], reference, settings, budget_s=1e-3)
    assert len(report.runners) == 2
    assert all(stage.median_ms > 0 for runner in report.runners for stage in runner.stages)


@pytest.mark.parametrize("median", [math.nan, math.inf, -1.0])
def test_times_that_are_no_times_are_refused(median: float) -> None:
    with pytest.raises(ExportError, match="expected finite times in order"):
        StageLatency("denoise", median, 0.0, math.inf, 1)


@pytest.mark.parametrize(("warmup", "runs"), [(0, 0), (-1, 1)])
def test_nothing_to_time_is_refused(warmup: int, runs: int, tiny_stages: Mapping[str, ExportStage]) -> None:
    with pytest.raises(ExportError, match="at least one run"):
        measure(ClockRunner(), tiny_stages, warmup=warmup, runs=runs)
