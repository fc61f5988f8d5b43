"""Our pipeline against diffusers' own, on the same checkpoint folder, noise and prompt: every step and the picture.

The weights are random, in each published architecture and file layout; narrow here, at real widths in the longer
checks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.checkpoints.against_diffusers import Comparison, compare
from benchmarks.checkpoints.random_weights import ARCHITECTURES, write_checkpoint
from mobile_diffusion.drawing import Start

NARROW = 10


def assert_same(found: Comparison) -> None:
    """Latents within 1e-4 of the largest of their step, pixels within one level of 255."""
    assert found.contrast > 2.5
    assert found.worst_latents < 1e-4
    assert found.worst_level <= 1.0


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


def picture() -> np.ndarray:
    """A smooth picture (1, 3, 64, 64) in [0, 1]."""
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    return np.stack([ramp, ramp.T, np.full_like(ramp, 0.3)])[None]


@pytest.mark.parametrize("strength", [0.3, 0.5, 0.8])
def test_image_to_image(strength: float, sd15: Path) -> None:
    assert_same(compare(sd15, "sd15", Start(picture(), strength)))


def test_inpainting(sd15: Path) -> None:
    mask = np.zeros((1, 1, 8, 8), np.float32)
    mask[..., 2:6, 3:7] = 1
    assert_same(compare(sd15, "sd15", Start(picture(), 1.0, mask)))
