"""Bundles with the stage `encode_image`: a redrawn and an inpainted picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from export.artists.artist import bundle_artist
from export.bundle.bundle import Bundle
from export.job.plan import plan_export
from export.job.reference import record_cases
from export.job.run import run_export
from export.parity.trajectories import CASES
from export.runners.torch import TorchRunner
from export.signatures import IMAGE_STAGES
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import ScheduleConfig
from mobile_diffusion.drawing import DrawSettings, Start, draw
from mobile_diffusion.pipeline import Pipeline


def with_schedule(model: Model, schedule: ScheduleConfig) -> Model:
    return dataclasses.replace(model, config=dataclasses.replace(model.config, schedule=schedule))


@pytest.mark.parametrize(
    ("solver", "steps", "strength"), [("ddim", 4, 0.5), ("ddim", 2, 0.5), ("ddim", 1, 1.0), ("pndm", 4, 0.5)]
)
def test_the_recorded_case_begins_as_late_as_the_solver_can(
    solver: str, steps: int, strength: float, tiny_model: Model
) -> None:
    model = with_schedule(tiny_model, ScheduleConfig(solver=solver, steps=steps, spacing="leading"))
    plan = plan_export(model.config, TARGETS["android"], images=True, threads=1)
    runner = TorchRunner.from_model(model, 1, IMAGE_STAGES)
    *_, redrawn = record_cases(runner, model.tokenizer, DrawSettings.of(model.config), CASES[:1], plan)
    assert redrawn.source is not None and redrawn.case.strength == strength
    assert np.isfinite(redrawn.states).all() and redrawn.steps == len(Pipeline(model).table.rows(redrawn.skipped))


@pytest.fixture(
    scope="module", params=[name if name == "ios" else pytest.param(name, marks=pytest.mark.full) for name in TARGETS]
)
def redrawing(request: pytest.FixtureRequest, tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of each target that can begin with a picture; the web's programs are Android's ONNX models."""
    target = TARGETS[request.param]
    plan = plan_export(tiny_model.config, target, images=True, threads=1)
    out = tmp_path_factory.mktemp("redrawing") / target.name
    return run_export(tiny_model, target, out, cases=CASES[:1], plan=plan).bundle


@pytest.mark.full
@pytest.mark.parametrize("masked", [False, True], ids=["redrawn", "inpainted"])
def test_every_runtime_redraws_as_pytorch_does(masked: bool, redrawing: Bundle, tiny_model: Model) -> None:
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    mask = np.zeros((1, 1, 32, 32), np.float32)
    mask[..., 8:24, 4:18] = 1
    start = Start(np.stack([ramp, ramp.T, 1 - ramp])[None], 0.6, mask if masked else None)
    expected = Pipeline.from_model(tiny_model).generate("a red apple, 3d", 5, start=start)
    plain = Pipeline.from_model(tiny_model).generate("a red apple, 3d", 5)
    assert np.abs(plain.astype(int) - expected).max() > 10, "the picture to begin with has no effect"
    for runtime in redrawing.manifest.runtimes:
        artist = bundle_artist(redrawing, runtime.name, 1)
        ours = draw(artist.run_stage, artist.tokenizer, artist.settings, "a red apple, 3d", 5, start=start)
        assert np.abs(ours.astype(int) - expected).max() <= (8 if runtime.name == "coreml" else 1)
