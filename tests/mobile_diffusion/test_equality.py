"""Our pipeline against diffusers' own, on the same checkpoint folder, noise and prompt: every step and the picture.

The weights are random, in each published architecture and file layout; narrow here, at real widths in the longer
checks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.checkpoints.against_diffusers import Asked, Comparison, compare, our_drawing
from benchmarks.checkpoints.random_weights import ARCHITECTURES, write_checkpoint
from mobile_diffusion.drawing import Start
from tests.attentive import NAME, SCALES, STARTS, mask, picture, write_attentive

NARROW = 10


def assert_same(found: Comparison) -> None:
    """Latents within 1e-4 of the largest of their step, pixels within half a level, to which ours are rounded."""
    assert found.contrast > 2.5
    assert found.worst_latents < 1e-4
    assert found.worst_level <= 0.5 + 1e-2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name: str, tmp_path: Path) -> None:
    assert_same(compare(write_checkpoint(name, tmp_path / name, narrow=NARROW), name))


@pytest.mark.full
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_real_widths(name: str, tmp_path: Path) -> None:
    """At 128 pixels and few steps, so that the time goes into the widths."""
    assert_same(compare(write_checkpoint(name, tmp_path / name), name, steps=2, size=(128, 128)))


@pytest.fixture(scope="module")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint("sd15", tmp_path_factory.mktemp("checkpoints") / "sd15", narrow=NARROW)


@pytest.mark.parametrize("size", [(128, 64), (64, 192)])
def test_pictures_that_are_not_square(size: tuple[int, int], sd15: Path) -> None:
    assert_same(compare(sd15, "sd15", size=size))


@pytest.mark.parametrize("strength", [0.3, 0.5, 0.8, 1.0])
def test_image_to_image(strength: float, sd15: Path) -> None:
    assert_same(compare(sd15, "sd15", Start(picture(), strength)))


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_inpainting(strength: float, sd15: Path) -> None:
    assert_same(compare(sd15, "sd15", Start(picture(), strength, mask())))


@pytest.fixture(scope="module")
def attentive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_attentive(tmp_path_factory.mktemp("checkpoints") / "attentive")


def drawn(folder: Path, scale: float, negative: str = "") -> np.ndarray:
    """Our last latents."""
    return our_drawing(folder, NAME, None, 4, Asked(scale, negative))[0][-1]


def test_the_attentive_checkpoint_shows_a_wrong_guidance(attentive: Path) -> None:
    """By fifty times the tolerance and more; otherwise the comparisons below would prove nothing."""
    plain, *others = (drawn(attentive, *asked) for asked in ((1.0,), (1.5,), (7.5,), (7.5, "blurred")))
    for index, other in enumerate(others):
        assert all(np.abs(other - each).max() > 5e-3 * np.abs(plain).max() for each in (plain, *others[:index]))


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("negative", ["", "blurred"])
def test_every_guidance_scale(kind: str, scale: float, negative: str, attentive: Path) -> None:
    """Up to 1, diffusers draws without guidance, and a negative prompt has no effect."""
    found = compare(attentive, NAME, STARTS[kind], steps=4, guidance=scale, negative=negative)
    assert_same(found)


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("scale", [pytest.param(0.0, marks=pytest.mark.full), 7.5])
@pytest.mark.parametrize("solver", ["euler", "lcm", "pndm", "dpm-solver++", "deis", "unipc", "heun"])
def test_every_solver_that_begins_late(kind: str, scale: float, solver: str, attentive: Path) -> None:
    found = compare(attentive, NAME, STARTS[kind], steps=4, guidance=scale, negative="", solver=solver)
    assert_same(replace(found, worst_latents=found.last_latents) if solver in ("euler", "heun") else found)


@pytest.mark.parametrize("start", [Start(picture(), 1.0), Start(picture(), 1.0, mask())], ids=["image", "mask"])
@pytest.mark.parametrize("solver", ["euler", "lcm", "pndm", "dpm-solver++"])
def test_every_solver_at_full_strength(start: Start, solver: str, attentive: Path) -> None:
    found = compare(attentive, NAME, start, steps=4, guidance=7.5, negative="", solver=solver)
    assert_same(replace(found, worst_latents=found.last_latents) if solver == "euler" else found)


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("solver", ["euler", "dpm-solver++"])
@pytest.mark.parametrize("shares", [(0.0, 1.0, 1.0, 0.0), (0.0, 0.3, 1.0, 0.5)])
def test_guidance_of_each_step(shares: tuple[float, ...], solver: str, kind: str, attentive: Path) -> None:
    asked = {"steps": 4, "guidance": 7.5, "negative": "blurred", "solver": solver}
    found = compare(attentive, NAME, STARTS[kind], shares=shares, **asked)
    assert_same(replace(found, worst_latents=found.last_latents) if solver == "euler" else found)


@pytest.mark.parametrize("scale", [0.0, 1.0, 8.5])
def test_every_scale_of_an_embedded_guidance(scale: float, tmp_path: Path) -> None:
    folder = write_checkpoint("lcm-dreamshaper", tmp_path / "lcm", narrow=NARROW)
    assert_same(compare(folder, "lcm-dreamshaper", guidance=scale))
