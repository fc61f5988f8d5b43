"""Bundles whose prompts have two windows: drawn with weights as PyTorch draws, and verified."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from export.artists.artist import bundle_artist
from export.bundle.bundle import Bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.trajectories import CASES, LONG_CASE, chosen_cases
from export.signatures import signature
from export.targets import TARGETS
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import DrawSettings, draw
from mobile_diffusion.errors import BundleError
from mobile_diffusion.pipeline import Pipeline

PROMPT, SEED = "a (red:1.4) apple and [green] leaves on a table BREAK drawn in (3d:0.5)", 5


def with_windows(model: Model, windows: int) -> Model:
    schedule = dataclasses.replace(model.config.schedule, steps=2, guidance=3.0, guidance_kind="cfg")
    config = dataclasses.replace(model.config, schedule=schedule, windows=windows)
    return dataclasses.replace(model, config=config)


def test_windows_change_the_step_alone(tiny_model: Model) -> None:
    """So every other program of a bundle is the same with windows and without."""
    one, two = (with_windows(tiny_model, windows).config for windows in (1, 2))
    assert signature(one, "encode_text") == signature(two, "encode_text")
    assert signature(one, "decode_image") == signature(two, "decode_image")
    length, width = one.text.max_tokens, one.text.width
    shapes = {spec.name: spec.shape for spec in signature(two, "denoise").inputs}
    assert shapes["context"] == shapes["null_context"] == (1, 2 * length, width)
    assert {spec.name: spec.shape for spec in signature(one, "denoise").inputs}["context"] == (1, length, width)


@pytest.mark.parametrize(("windows", "depth", "expected"), [(1, "trajectory", CASES), (1, "step", CASES[:1])])
def test_cases_without_windows(windows: int, depth: str, expected: tuple[object, ...], tiny_model: Model) -> None:
    settings = DrawSettings.of(with_windows(tiny_model, windows).config)
    assert chosen_cases(CASES, depth, settings) == list(expected)


def test_a_long_case_is_recorded_with_windows(tiny_model: Model) -> None:
    settings = DrawSettings.of(with_windows(tiny_model, 2).config)
    assert chosen_cases(CASES, "trajectory", settings) == [*CASES, LONG_CASE]
    assert chosen_cases(CASES, "step", settings) == [LONG_CASE]


@pytest.fixture(
    scope="module",
    params=[name if name == "android" else pytest.param(name, marks=pytest.mark.full) for name in TARGETS],
)
def bundle(request: pytest.FixtureRequest, tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of each target."""
    model, target = with_windows(tiny_model, 2), TARGETS[request.param]
    folder: Path = tmp_path_factory.mktemp("windows") / target.name
    return run_export(model, target, folder, plan=plan_export(model.config, target, threads=1)).bundle


@pytest.mark.full
def test_every_runtime_draws_as_pytorch_does(bundle: Bundle, tiny_model: Model) -> None:
    pipeline = Pipeline.from_model(with_windows(tiny_model, 2))
    expected = pipeline.generate(PROMPT, SEED, negative="(text:1.3)", syntax="a1111")
    assert np.abs(pipeline.generate(PROMPT, SEED).astype(int) - expected).max() > 3, "the weights have no effect"
    assert bundle.settings().windows == 2
    for runtime in bundle.manifest.runtimes:
        artist = bundle_artist(bundle, runtime.name, 1)
        given = (artist.run_stage, artist.tokenizer, artist.settings, PROMPT, SEED)
        ours = draw(*given, negative="(text:1.3)", syntax="a1111")
        assert np.abs(ours.astype(int) - expected).max() <= (8 if runtime.name == "coreml" else 1)


@pytest.mark.full
def test_the_bundle_verifies(bundle: Bundle) -> None:
    verify_bundle(bundle.path, threads=1).require()


@pytest.mark.full
def test_a_context_of_half_a_window_is_refused(bundle: Bundle) -> None:
    tokenizer = dataclasses.replace(bundle.manifest.tokenizer, max_tokens=bundle.manifest.tokenizer.max_tokens - 1)
    other = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, tokenizer=tokenizer))
    with pytest.raises(BundleError, match="a context of whole windows"):
        other.settings()
