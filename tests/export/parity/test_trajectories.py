"""Recording and comparing use the drawing loop: same states, same inputs, and every kind of wrong output is found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.parity.golden import read_golden, write_golden
from export.parity.measure import CHECKS, Measurement, measure, planned_checks
from export.parity.record import record
from export.parity.trajectories import Case, latents_of
from export.runners.torch import TorchRunner
from export.signatures import IMAGE_STAGES
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.drawing import DrawSettings, Start, draw
from mobile_diffusion.errors import ParityError
from mobile_diffusion.schedule import step_table

Arrays = dict[str, np.ndarray]
Change = Callable[[str, Arrays, Arrays], Arrays]
"""Stage, inputs and outputs -> other outputs."""
PROMPT, SEED, STEPS = "a red apple, 3d", 11, 4
SCHEDULES = {
    "ddim": ScheduleConfig(solver="ddim", steps=STEPS, prediction="v", guidance=3.0),
    "multistep": ScheduleConfig(solver="dpm-solver++", steps=STEPS, prediction="v", guidance=3.0),
    "lcm": ScheduleConfig(solver="lcm", steps=STEPS, prediction="epsilon", guidance=3.0),
    "sde": ScheduleConfig(solver="sde-dpm-solver++", order=3, steps=STEPS, prediction="v", guidance=3.0),
    "unipc": ScheduleConfig(solver="unipc", order=3, steps=STEPS, prediction="v", guidance=3.0),
    "distilled": ScheduleConfig(solver="ddim", steps=STEPS, prediction="v", guidance=3.0, guidance_kind="distilled"),
}


class Watched:
    """A runner whose calls are kept, and whose outputs may be changed."""

    name = "watched"

    def __init__(self, runner: TorchRunner, change: Change = lambda stage, inputs, outputs: outputs) -> None:
        self.runner, self.change = runner, change
        self.calls: list[tuple[str, Arrays]] = []

    def run(self, stage: str, /, **arrays: np.ndarray) -> Arrays:
        self.calls.append((stage, arrays))
        return self.change(stage, arrays, self.runner.run(stage, **arrays))

    def steps(self) -> list[Arrays]:
        return [arrays for stage, arrays in self.calls if stage == "denoise"]


def opened(model: Model, schedule: str) -> tuple[Model, TorchRunner, DrawSettings]:
    chosen = dataclasses.replace(model, config=dataclasses.replace(model.config, schedule=SCHEDULES[schedule]))
    return chosen, TorchRunner.from_model(chosen, 1, IMAGE_STAGES), DrawSettings.of(chosen.config)


def compared(
    model: Model, schedule: str, change: Change, depth: str = "trajectory", strength: float = 1.0
) -> list[Measurement]:
    chosen, runner, settings = opened(model, schedule)
    first = record(runner, chosen.tokenizer, settings, Case(PROMPT, SEED), "trajectory")
    reference = record(runner, chosen.tokenizer, settings, Case(PROMPT, SEED, strength), depth, first.image)
    table = step_table(chosen.config.schedule)
    measurements, picture = measure("watched", Watched(runner, change), reference, settings, table, depth)
    assert picture.shape == reference.image.shape
    return measurements


def ratios(measurements: list[Measurement], check: str) -> list[float]:
    """SNR or PSNR of a check's measurements in order."""
    found = [each.metrics for each in measurements if each.check == check]
    return [float(getattr(metrics, "snr_db", getattr(metrics, "psnr_db", math.nan))) for metrics in found]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_drawing_and_a_record_agree_state_by_state(schedule: str, tiny_model: Model) -> None:
    model, runner, settings = opened(tiny_model, schedule)
    seen: list[np.ndarray] = []
    drawn, recorded = Watched(runner), Watched(runner)
    draw(drawn.run, model.tokenizer, settings, PROMPT, SEED, on_step=lambda _, latents: seen.append(latents))
    trajectory = record(recorded, model.tokenizer, settings, Case(PROMPT, SEED))
    np.testing.assert_array_equal(latents_of(trajectory.states[1:], settings), np.concatenate(seen))
    assert [stage for stage, _ in drawn.calls] == [stage for stage, _ in recorded.calls]
    for number, (ours, theirs) in enumerate(zip(drawn.steps(), recorded.steps(), strict=True)):
        again = trajectory.step_inputs(number, settings)
        assert set(ours) == set(theirs) == set(again)
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name])
            np.testing.assert_array_equal(values, again[name])


@pytest.mark.parametrize("schedule", ["ddim", "lcm", "multistep"])
def test_a_redrawn_picture_and_its_record_agree(schedule: str, tiny_model: Model) -> None:
    model, runner, settings = opened(tiny_model, schedule)
    source = record(runner, model.tokenizer, settings, Case("", 3), "trajectory").image
    seen: list[np.ndarray] = []
    start = Start(source, 0.5)
    draw(runner.run, model.tokenizer, settings, PROMPT, SEED, on_step=lambda _, x: seen.append(x), start=start)
    trajectory = record(runner, model.tokenizer, settings, Case(PROMPT, SEED, 0.5), source=source)
    assert (trajectory.skipped, trajectory.steps) == (STEPS // 2, STEPS // 2)
    np.testing.assert_array_equal(latents_of(trajectory.states[1:], settings), np.concatenate(seen))


@pytest.mark.parametrize(("schedule", "strength"), [("ddim", 0.5), ("multistep", 0.5), ("lcm", 0.5), ("distilled", 1)])
@pytest.mark.parametrize("depth", ["trajectory", "step"])
def test_a_runner_is_equal_to_its_own_record(schedule: str, strength: float, depth: str, tiny_model: Model) -> None:
    found = compared(tiny_model, schedule, lambda stage, inputs, outputs: outputs, depth, strength)
    assert {each.check for each in found} == set(planned_checks(depth, images=True))
    for check in planned_checks(depth, images=True):
        assert set(ratios(found, check)) == {math.inf}, check


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_error_of_one_step_stays_in_that_step_and_runs_on_freely(schedule: str, tiny_model: Model) -> None:
    wrong = 1

    def change(stage: str, inputs: Arrays, outputs: Arrays) -> Arrays:
        if stage != "denoise" or int(inputs["step"][0]) != wrong:
            return outputs
        return outputs | {"latents": outputs["latents"] * np.float32(1.01)}

    found = compared(tiny_model, schedule, change)
    for check in ("denoise", "prediction"):
        assert [step for step, ratio in enumerate(ratios(found, check)) if ratio != math.inf] == [wrong]
    assert [step for step, ratio in enumerate(ratios(found, "free_running")) if ratio != math.inf] == [1, 2, 3]
    assert ratios(found, "encode_text") == [math.inf] * (1 if schedule == "distilled" else 2)
    assert ratios(found, "decode_image") == [math.inf] and ratios(found, "picture")[0] < math.inf


def test_the_prediction_is_the_networks_output_inside_the_latents(tiny_model: Model) -> None:
    chosen, runner, settings = opened(tiny_model, "lcm")
    reference = record(runner, chosen.tokenizer, settings, Case(PROMPT, SEED), "step")
    table = step_table(chosen.config.schedule)
    factor, error = table.update[0][0][-1], np.float32(0.125)

    def change(stage: str, inputs: Arrays, outputs: Arrays) -> Arrays:
        return outputs | {"latents": outputs["latents"] + error} if stage == "denoise" else outputs

    found, _ = measure("watched", Watched(runner, change), reference, settings, table, "step")
    (prediction,) = (each.metrics for each in found if each.check == "prediction")
    assert prediction is not None and prediction.max_abs == pytest.approx(error / abs(factor), rel=1e-4)


@pytest.mark.parametrize("stage", ["encode_text", "encode_image", "denoise", "decode_image"])
def test_outputs_of_other_names_are_refused(stage: str, tiny_model: Model) -> None:
    def change(name: str, inputs: Arrays, outputs: Arrays) -> Arrays:
        return {"other": next(iter(outputs.values()))} if name == stage else outputs

    with pytest.raises(ParityError, match=rf"watched: {stage}: expected the outputs \['\w+'\], got \['other'\]"):
        compared(tiny_model, "ddim", change)


def cropped(stage: str, inputs: Arrays, outputs: Arrays) -> Arrays:
    """Latents of another width."""
    return outputs | {"latents": outputs["latents"][..., 1:]} if stage == "denoise" else outputs


def test_latents_of_another_shape_are_a_measurement_or_end_the_free_run(tiny_model: Model) -> None:
    found = compared(tiny_model, "ddim", cropped, "step")
    (problem,) = (each for each in found if each.check == "denoise")
    assert problem.metrics is None and "expected an output of shape (1, 4, 16, 16)" in problem.problem
    assert "prediction" not in {each.check for each in found}
    with pytest.raises(ParityError, match=r"watched: denoise: expected \(1, 4, 16, 16\), got \(1, 4, 16, 15\)"):
        compared(tiny_model, "ddim", cropped)
    with pytest.raises(ParityError, match="expected latents and memory of one height and width"):
        compared(tiny_model, "multistep", cropped)


def test_golden_files_give_the_same_inputs_of_every_step(tiny_model: Model, tmp_path: Path) -> None:
    model, runner, settings = opened(tiny_model, "multistep")
    trajectory = record(runner, model.tokenizer, settings, Case(PROMPT, SEED))
    (again,) = read_golden(tmp_path, write_golden(tmp_path, [trajectory]))
    for number in range(trajectory.steps):
        ours, theirs = trajectory.step_inputs(number, settings), again.step_inputs(number, settings)
        assert set(ours) == set(theirs)
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name])


def test_every_check_is_planned_for_a_whole_trajectory_with_pictures() -> None:
    assert planned_checks("trajectory", images=True, hints=True) == CHECKS
