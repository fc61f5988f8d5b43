"""Drawings of the C++ runner with hints for ControlNets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artists.artist import bundle_artist
from export.bundle.bundle import open_bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import Hint, draw
from tests.apps.runner.conftest import Run, refusal
from tests.apps.runner.test_drawing import pixels
from tests.export.job.test_control_nets import steered

PROMPT = "a red apple"


@pytest.fixture(scope="module")
def hints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two pictures of 32 pixels."""
    rows, columns = np.mgrid[:32, :32]
    values = np.stack([rows * 8, columns * 8, 255 - rows * 8], -1).astype(np.uint8)
    folder = tmp_path_factory.mktemp("hints")
    paths = [folder / "one.png", folder / "two.png"]
    for path, each in zip(paths, (values, np.roll(values, 7, 1)), strict=True):
        Image.fromarray(each).save(path)
    return paths


@pytest.mark.full
def test_it_is_pythons_picture(hints: list[Path], tiny_model: Model, run: Run, tmp_path: Path) -> None:
    model = steered(tiny_model)
    plan = plan_export(model.config, TARGETS["android"], ("xnnpack",), threads=1)
    bundle = run_export(model, TARGETS["android"], tmp_path / "bundle", plan=plan).bundle
    artist = bundle_artist(open_bundle(bundle.path), "xnnpack", 1)
    given = [np.asarray(Image.open(path), np.float32).transpose(2, 0, 1)[None] / 255 for path in hints]
    drawn = {}
    for scales in ((0.8, 1.2), (0.0, 0.0)):
        pairs = [Hint(picture, scale) for picture, scale in zip(given, scales, strict=True)]
        expected = draw(artist.run_stage, artist.tokenizer, artist.settings, PROMPT, 5, hints=pairs)
        words = [
            word for path, scale in zip(hints, scales, strict=True) for word in ("--hint", path, "--hint-scale", scale)
        ]
        done = run("--bundle", bundle.path, "--prompt", PROMPT, "--seed", 5, *words, "--out", tmp_path / "a.png")
        assert done.returncode == 0, done.stderr
        drawn[scales] = pixels(tmp_path / "a.png").astype(int)
        assert np.abs(drawn[scales] - expected).max() <= 1
    assert np.abs(np.subtract(*drawn.values())).max() > 50
    asked = ("--bundle", bundle.path, "--prompt", PROMPT)
    assert "hint: expected 2, as this model has 2 ControlNets, got none" in refusal(run, *asked)
    assert "hint: expected 2, as this model has 2 ControlNets, got 1" in refusal(run, *asked, "--hint", hints[0])
    both = ("--hint", hints[0], "--hint", hints[1])
    assert "--hint-scale: expected 0 to 2, got" in refusal(run, *asked, *both, "--hint-scale", 3, "--hint-scale", 1)


def test_a_model_without_control_nets_refuses_a_hint(hints: list[Path], distilled: Path, run: Run) -> None:
    said = refusal(run, "--bundle", distilled, "--prompt", PROMPT, "--hint", hints[0])
    assert "hint: expected none, as this model has no ControlNets, got 1" in said
