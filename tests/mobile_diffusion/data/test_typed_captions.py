"""Captions as people type them: true, in English, and the stored one among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobile_diffusion.data import Sample, captions
from mobile_diffusion.data.typed_captions import LABEL_FORMS, main_colour, oklab, typed_captions, with_article

RED, GREEN, WHITE = (220, 40, 50), (80, 170, 70), (255, 255, 255)


def picture_of(*colours: tuple[int, int, int]) -> np.ndarray:
    """Stripes of equal width, 64 x 64."""
    stripes = [np.full((64, 64 // len(colours), 3), colour, np.uint8) for colour in colours]
    return np.concatenate(stripes, axis=1)


def sample_of(label: str) -> Sample:
    return Sample("3d/1", "3d", "1", "x", label, ("fruit",), "food", "apple", "train", "p", "1", "MIT", "", Path())


def test_oklab_of_the_page_that_defines_it() -> None:
    """The values of red and white that CSS Color 4 lists for its conversion."""
    found = oklab(np.array([[255, 0, 0], [255, 255, 255]]))
    np.testing.assert_allclose(found, [[0.62796, 0.22486, 0.12585], [1, 0, 0]], atol=1e-4)


@pytest.mark.parametrize(
    ("colours", "name"),
    [
        ((WHITE, RED), "red"),
        ((WHITE, RED, RED, GREEN), "red"),
        ((RED, GREEN, (40, 110, 220), (255, 215, 50)), None),
        ((WHITE,), None),
        (((130, 80, 50), WHITE), "brown"),
        (((255, 180, 190),), "pink"),
        (((250, 200, 60),), "yellow"),
        (((20, 20, 20),), "black"),
    ],
)
def test_main_colour(colours: tuple[tuple[int, int, int], ...], name: str | None) -> None:
    assert main_colour(picture_of(*colours)) == name


def test_forms_of_a_label() -> None:
    frog = typed_captions(sample_of("frog"), picture_of(WHITE, GREEN))
    forms = ["frog, 3d", "frog", "a frog", "3d frog", "3d emoji of a frog", "a green frog, 3d"]
    assert frog == [*forms, "fruit, 3d"] and len(forms) == LABEL_FORMS
    assert frog[0] == captions(sample_of("frog"))[0]


def test_a_colour_is_said_once_and_only_if_there_is_one() -> None:
    assert typed_captions(sample_of("red apple"), picture_of(RED))[LABEL_FORMS - 1] == "red apple in 3d style"
    assert typed_captions(sample_of("frog"), picture_of(WHITE))[LABEL_FORMS - 1] == "frog in 3d style"


@pytest.mark.parametrize(
    ("words", "said"),
    [("owl", "an owl"), ("grapes", "grapes"), ("cat", "a cat"), ("Octopus", "an Octopus"), ("compass", "a compass")],
)
def test_articles(words: str, said: str) -> None:
    assert with_article(words) == said
