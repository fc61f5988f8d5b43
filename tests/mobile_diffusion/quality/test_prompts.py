"""Which pictures each set of prompts takes, and that their order depends on seed and names alone."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from mobile_diffusion.config_json import to_dict
from mobile_diffusion.data import Sample
from mobile_diffusion.errors import ConfigError, DataError
from mobile_diffusion.quality.prompts import REFERENCES, SETS, prompt_sets, read_training
from mobile_diffusion.recipes.unet import UNetSettings
from mobile_diffusion.training.settings import read_settings

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "assets" / "emoji" / "training"


@pytest.fixture(scope="module")
def trained() -> UNetSettings:
    settings = read_settings(SHIPPED / "unet-2.toml", UNetSettings)
    return dataclasses.replace(settings, styles=("3d",), groups=("food", "animals"))


def test_sets_hold_what_they_say(shapes: Sequence[Sample], trained: UNetSettings) -> None:
    found = {each.name: each for each in prompt_sets(shapes, trained, count=100)}
    assert list(found) == list(SETS)
    ids = {name: {sample.id for sample in each.samples} for name, each in found.items()}
    assert ids["training"] == {f"3d/{number}" for number in (0, 1, 2, 3)}
    assert ids["held-out"] == {f"3d/{number}" for number in (5, 6, 7)}
    assert ids["combinations"] == {f"{style}/{number}" for style in ("flat", "noto") for number in (0, 1, 2, 3)} - {
        "flat/2"
    }
    assert "heart suit, 3d" not in found["training"].captions  # of a group that training left out
    assert "red apple, flat" in found["combinations"].captions
    assert all(each.references == each.samples for each in found.values())


def test_order_depends_on_seed_and_names_only(shapes: Sequence[Sample], trained: UNetSettings) -> None:
    shuffled = random.Random(3).sample(list(shapes), len(shapes))
    assert prompt_sets(shuffled, trained, 3) == prompt_sets(shapes, trained, 3)
    assert prompt_sets(shapes, trained, 3, seed=1) != prompt_sets(shapes, trained, 3)
    fewer, more = prompt_sets(shapes, trained, 2)[0], prompt_sets(shapes, trained, 4)[0]
    assert fewer.samples == more.samples[:2] == fewer.references[:2]


def test_references_are_bounded(shapes: Sequence[Sample], trained: UNetSettings) -> None:
    lion = next(sample for sample in shapes if sample.label == "lion")
    many = [dataclasses.replace(lion, id=f"3d/{number}", hexcode=str(number)) for number in range(2 * REFERENCES)]
    (only,) = prompt_sets(many, trained, 5)
    assert len(only.samples) == 5 and len(only.references) == REFERENCES
    assert len(prompt_sets(many, trained, REFERENCES + 9)[0].references) == REFERENCES + 9


def test_model_of_every_style_has_no_combinations(shapes: Sequence[Sample], trained: UNetSettings) -> None:
    every = dataclasses.replace(trained, styles=("3d", "flat", "noto"), groups=())
    assert [each.name for each in prompt_sets(shapes, every, 2)] == ["training", "held-out"]


def test_nothing_to_train_on(shapes: Sequence[Sample], trained: UNetSettings) -> None:
    with pytest.raises(DataError, match="in the styles twemoji, got none"):
        prompt_sets(shapes, dataclasses.replace(trained, styles=("twemoji",)), 2)


def test_settings_of_a_run_and_of_toml_say_the_same(tmp_path: Path) -> None:
    shipped = read_training(SHIPPED / "unet-2.toml")
    assert read_training(SHIPPED / "unet-settings.json") == shipped
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(to_dict(shipped)))
    assert read_training(file) == shipped


@pytest.mark.parametrize("content", [None, "{", "[]", '{"styles": ["3d"]}'])
def test_settings_that_are_none(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "settings.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_training(file)
    assert "\n" not in str(caught.value)
