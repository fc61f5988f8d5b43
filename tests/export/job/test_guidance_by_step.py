"""Bundles whose steps are guided each in its own way: one evaluation a call, two calls where it takes two."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from export.artists.artist import bundle_artist
from export.bundle.bundle import Bundle
from export.denoise import Denoise, DenoiseOnce
from export.job.plan import plan_export
from export.job.run import run_export
from export.stages import build_stage
from export.targets import TARGETS
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import Arrays, Start, draw
from mobile_diffusion.pipeline import Pipeline

SHARES = (0.0, 1.0, 0.4, 0.0)
PROMPT, SEED = "a red apple, 3d", 5


def guided(model: Model, shares: tuple[float, ...], solver: str = "dpm-solver++") -> Model:
    schedule = dataclasses.replace(
        model.config.schedule, solver=solver, steps=4, guidance=3.0, guidance_kind="cfg", guidance_shares=shares
    )
    return dataclasses.replace(model, config=dataclasses.replace(model.config, schedule=schedule))


@pytest.fixture(
    scope="module",
    params=[name if name == "web" else pytest.param(name, marks=pytest.mark.full) for name in TARGETS],
)
def bundle(request: pytest.FixtureRequest, tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of each target; the web's programs are Android's ONNX models."""
    model, target = guided(tiny_model, SHARES), TARGETS[request.param]
    plan = plan_export(model.config, target, images=True, threads=1)
    return run_export(model, target, tmp_path_factory.mktemp("guided") / target.name, plan=plan).bundle


@pytest.mark.parametrize("strength", [None, 0.5])
def test_every_runtime_draws_as_pytorch_does(strength: float | None, bundle: Bundle, tiny_model: Model) -> None:
    pipeline = Pipeline.from_model(guided(tiny_model, SHARES))
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    start = None if strength is None else Start(np.stack([ramp, ramp.T, 1 - ramp])[None], strength)
    expected = pipeline.generate(PROMPT, SEED, start=start)
    alike = Pipeline.from_model(guided(tiny_model, ())).generate(PROMPT, SEED, start=start)
    assert np.abs(alike.astype(int) - expected).max() > 3, "the shares have no effect"
    for runtime in bundle.manifest.runtimes:
        artist, calls = bundle_artist(bundle, runtime.name, 1), Counter[str]()

        def run(stage: str, /, calls: Counter[str] = calls, artist: object = artist, **arrays: np.ndarray) -> Arrays:
            calls[stage] += 1
            return artist.run_stage(stage, **arrays)  # type: ignore[attr-defined, no-any-return]

        ours = draw(run, artist.tokenizer, artist.settings, PROMPT, SEED, start=start)
        assert np.abs(ours.astype(int) - expected).max() <= (8 if runtime.name == "coreml" else 1)
        assert calls["denoise"] == (artist.settings.calls if strength is None else 3)
        assert artist.settings.calls == 6


def test_the_bundle_verifies(bundle: Bundle) -> None:
    verify_bundle(bundle.path, threads=1).require()
    assert set(bundle.manifest.schedule.guidance_shares) == set(SHARES)


def test_a_model_that_guides_all_steps_alike_has_the_stage_that_it_had(tiny_model: Model) -> None:
    assert type(build_stage(guided(tiny_model, ()), "denoise").module) is Denoise
    once = build_stage(guided(tiny_model, SHARES), "denoise")
    assert type(once.module) is DenoiseOnce
    assert [spec.name for spec in once.inputs] == ["latents", "step", "context", "null_output", "guidance", "memory"]
    assert [spec.name for spec in once.outputs] == ["latents", "memory", "output"]


def test_the_scale_of_a_request_decides_whether_a_step_takes_two_calls(tiny_model: Model) -> None:
    """At a scale of 1 or less, no step does."""
    pipeline = Pipeline.from_model(guided(tiny_model, SHARES, "ddim"))
    calls: list[float] = []

    def run(stage: str, /, **arrays: np.ndarray) -> Arrays:
        calls.extend(arrays["guidance"].tolist() if stage == "denoise" else [])
        return pipeline.run(stage, **arrays)

    draw(run, pipeline.model.tokenizer, pipeline.settings, PROMPT, SEED, guidance=2.0)
    assert calls == pytest.approx([1.0, 1.0, 2.0, 1.0, 1.4, 1.0])
    calls.clear()
    draw(run, pipeline.model.tokenizer, pipeline.settings, PROMPT, SEED, guidance=1.0)
    assert calls == [1.0] * 4
