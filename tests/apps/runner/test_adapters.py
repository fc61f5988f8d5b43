"""Drawings of the C++ runner with adapters that are turned on and off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.artists.artist import bundle_artist
from export.bundle.adapter_files import write_adapter
from export.bundle.bundle import open_bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import draw
from tests.apps.conftest import flip
from tests.apps.runner.conftest import Run, refusal
from tests.apps.runner.test_drawing import pixels
from tests.export.job.test_adapters import switched

PROMPT = "a red apple"


@pytest.mark.full
def test_it_is_pythons_picture(tiny_model: Model, run: Run, tmp_path: Path) -> None:
    model = switched(tiny_model, few=True)
    assert model.config.adapters is not None and model.adapters is not None
    plan = plan_export(model.config, TARGETS["android"], ("xnnpack",), threads=1)
    bundle = run_export(model, TARGETS["android"], tmp_path / "bundle", plan=plan).bundle
    wool, factors = tmp_path / "wool.safetensors", -0.7 * model.adapters.factors[0]
    write_adapter(wool, model.config.adapters, factors)
    artist = bundle_artist(open_bundle(bundle.path), "xnnpack", 1, [wool])
    assert artist.adapters is not None
    drawn = []
    for scales in ({}, {"ink": 0.9}, {"clay": -0.7, "wool": 1.1}):
        given = artist.adapters.at(scales)
        expected = draw(artist.run_stage, artist.tokenizer, artist.settings, PROMPT, 5, adapters=given)
        words = [word for name, scale in scales.items() for word in ("--adapter-scale", f"{name}={scale}")]
        words += ["--adapter-file", str(wool)] * ("wool" in scales)
        done = run("--bundle", bundle.path, "--prompt", PROMPT, "--seed", 5, *words, "--out", tmp_path / "a.png")
        assert done.returncode == 0, done.stderr
        drawn.append(pixels(tmp_path / "a.png").astype(int))
        assert np.abs(drawn[-1] - expected).max() <= 1
    assert all(np.abs(drawn[0] - other).max() > 8 for other in drawn[1:])
    assert run("--bundle", bundle.path, "--golden").returncode == 0
    asked = ("--bundle", bundle.path, "--prompt", PROMPT, "--adapter-scale")
    assert "adapter: expected one of ink, clay, got 'oil'" in refusal(run, *asked, "oil=1")
    three = ("ink=1", "--adapter-scale", "clay=1", "--adapter-scale", "wool=1", "--adapter-file", wool)
    assert "expected up to 2 at once, for which there is room, got 3" in refusal(run, *asked, *three)
    wool.write_bytes(wool.read_bytes()[:-4])
    assert "an adapter of this bundle's layers" in refusal(run, *asked, "wool=1", "--adapter-file", wool)
    flip(bundle.path / "adapters" / "ink.safetensors")
    assert "SHA-256" in refusal(run, *asked, "ink=1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--adapter-scale", "ink=1"), "adapter: expected none, as this model has none, got 'ink'"),
        (("--adapter-scale", "ink"), "--adapter-scale: expected NAME=SCALE such as ink=0.7, got 'ink'"),
        (("--adapter-scale", "ink=6"), "--adapter-scale: expected -5 to 5, got '6'"),
        (("--adapter-scale", "ink=nan"), "--adapter-scale: expected -5 to 5, got 'nan'"),
        (("--adapter-scale", "ink=1", "--adapter-scale", "ink=2"), "expected each name once, got 'ink' twice"),
    ],
)
def test_a_model_without_adapters_and_words_that_are_none(
    words: tuple[str, ...], said: str, distilled: Path, run: Run
) -> None:
    assert said in refusal(run, "--bundle", distilled, "--prompt", PROMPT, *words)
