"""Networks that read a picture: inpainting and editing ones against diffusers' own pipelines, on random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.checkpoints.against_diffusers import EDITING, Asked, Comparison, compare, our_drawing
from benchmarks.checkpoints.random_weights import write_checkpoint
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.start import Start
from tests.attentive import mask, picture
from tests.tiny_models import SMALLEST

INPAINTING = "sd15-inpainting"
NARROW = 10


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(INPAINTING, tmp_path_factory.mktemp("inpainting") / "folder", narrow=NARROW)


@pytest.fixture(scope="module")
def editing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(EDITING, tmp_path_factory.mktemp("editing") / "folder", narrow=NARROW)


def assert_same(found: Comparison, worst: float | None = None) -> None:
    """Latents within 1e-4 of the largest of their step, pixels within half a level, to which ours are rounded."""
    assert found.contrast > 2.5
    assert (found.worst_latents if worst is None else worst) < 1e-4
    assert found.worst_level <= 0.5 + 1e-2


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_inpainting(strength: float, scale: float, inpainting: Path) -> None:
    start = Start(picture(), strength, mask())
    assert_same(compare(inpainting, INPAINTING, start, steps=4, guidance=scale, negative="blurred"))


def test_inpainting_with_guidance_in_a_part_of_the_steps(inpainting: Path) -> None:
    start, shares = Start(picture(), 1.0, mask()), (0.0, 1.0, 0.5, 0.0)
    asked = {"steps": 4, "guidance": 7.5, "negative": "blurred"}
    assert_same(compare(inpainting, INPAINTING, start, shares=shares, **asked))


@pytest.mark.parametrize("solver", ["euler", "dpm-solver++", "lcm"])
def test_inpainting_by_every_kind_of_solver(solver: str, inpainting: Path) -> None:
    start = Start(picture(), 1.0, mask())
    found = compare(inpainting, INPAINTING, start, steps=4, guidance=7.5, negative="", solver=solver)
    assert_same(found, found.last_latents if solver == "euler" else None)


def test_a_drawing_without_a_picture_inpaints_all_of_a_grey_one(inpainting: Path) -> None:
    shape = picture().shape
    grey = Start(np.full(shape, 0.5, np.float32), 1.0, np.ones((1, 1, *shape[2:]), np.float32))
    asked = Asked(7.5, "", "ddim")
    own, explicit = (our_drawing(inpainting, INPAINTING, start, 2, asked) for start in (None, grey))
    np.testing.assert_array_equal(own[1], explicit[1])


@pytest.mark.parametrize(("scale", "towards_picture"), [(1.0, 1.5), (7.5, 1.5), (7.5, 1.0), (3.0, 4.0)])
@pytest.mark.parametrize("solver", ["ddim", "euler"])
def test_editing(scale: float, towards_picture: float, solver: str, editing: Path) -> None:
    start = Start(picture(), image_guidance=towards_picture)
    found = compare(editing, EDITING, start, steps=4, guidance=scale, negative="blurred", solver=solver)
    assert_same(found, found.last_latents if solver == "euler" else None)


@pytest.mark.parametrize(("channels", "does"), [(9, "inpaints"), (8, "edits pictures")])
def test_what_takes_text_alone_refuses_it(channels: int, does: str) -> None:
    unet = dataclasses.replace(SMALLEST.unet, in_channels=channels)
    with pytest.raises(ConfigError, match=f"plan: expected a U-Net that reads text alone, got one that {does}"):
        dataclasses.replace(SMALLEST, unet=unet).require_text_alone("plan")
