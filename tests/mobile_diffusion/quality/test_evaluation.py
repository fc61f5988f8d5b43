"""A whole evaluation with small networks: what is drawn with which seed, what is measured, what is written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.data import Sample, load_image
from mobile_diffusion.errors import ConfigError, DataError, PromptError
from mobile_diffusion.quality import Networks, evaluate_pictures, kid, stack_pictures
from mobile_diffusion.quality.evaluation import EvaluationSettings, evaluate
from mobile_diffusion.quality.images import Picture
from mobile_diffusion.quality.output import FIGURES, write_evaluation
from mobile_diffusion.quality.prompts import PromptSet, prompt_sets
from mobile_diffusion.quality.retrieval import Head, Retrieval
from mobile_diffusion.quality.sentences import Sentences
from mobile_diffusion.recipes.unet import UNetSettings
from mobile_diffusion.training.settings import read_settings

ROOT = Path(__file__).parents[3]
LABELS = ("red apple", "green apple", "pizza", "lion", "koala", "melon", "onion", "house")
SETTINGS = EvaluationSettings(count=3, seed=5, seeds=3, diversity_prompts=2)


def few_pixels(images: Tensor) -> Tensor:
    return F.interpolate(images, (4, 4), mode="area").flatten(1)


@pytest.fixture(scope="module")
def networks() -> Networks:
    torch.manual_seed(0)
    embedder = Sentences()
    wide = Retrieval(
        lambda images: F.interpolate(images, (20, 22)).flatten(1)[:, :1280],
        Head(32),
        embedder,
        dict(zip(LABELS, embedder.embed(LABELS), strict=True)),
        embedder.embed(["a picture of something"]),
    )
    return Networks(few_pixels, wide)


@pytest.fixture(scope="module")
def sets(shapes: Sequence[Sample]) -> list[PromptSet]:
    settings = read_settings(ROOT / "assets" / "emoji" / "training" / "unet-2.toml", UNetSettings)
    return prompt_sets(shapes, dataclasses.replace(settings, groups=("food", "animals")), 3, seed=5)


class RecordingDrawer:
    """Draws noise, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def __call__(self, prompt: str, seed: int, /) -> Picture:
        self.asked.append((prompt, seed))
        return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)


def test_what_is_drawn_and_measured(networks: Networks, sets: list[PromptSet]) -> None:
    drawer, progress = RecordingDrawer(), []
    evaluation, pictures = evaluate(drawer, sets, networks, SETTINGS, lambda what, part: progress.append((what, part)))
    wanted = [(caption, 5 + i) for each in sets for i, caption in enumerate(each.captions)]
    more = [(sets[0].captions[i], 5 + 3 * extra + i) for extra in (1, 2) for i in range(2)]
    assert drawer.asked == wanted + more
    assert len(drawer.asked) == SETTINGS.pictures(sets)
    assert [part for _, part in progress] == sorted(part for _, part in progress) and progress[-1][1] == 1
    training, held_out = evaluation.sets[:2]
    drawn = stack_pictures([RecordingDrawer()("", seed) for seed in (5, 6, 7)])
    real = stack_pictures([load_image(sample) for sample in sets[0].references])
    assert training.quality == evaluate_pictures(drawn, sets[0].captions, real, networks, seed=5)
    assert training.quality.kid.value == kid(few_pixels(real), few_pixels(drawn))
    assert training.quality.references == len(sets[0].references) == 4
    assert training.real == networks.retrieval.score(real[:3], sets[0].captions, seed=5)
    assert (held_out.name, held_out.quality.pictures) == ("held-out", 3)
    assert (evaluation.diversity.prompts, evaluation.diversity.seeds) == (2, 3)
    assert evaluation.decoder is None
    assert torch.equal(pictures[0].drawn, drawn) and torch.equal(pictures[0].real, real[:3])


def test_artist_who_copies_has_the_scores_of_real_pictures(networks: Networks, sets: list[PromptSet]) -> None:
    by_caption = {caption: each.samples[i] for each in sets for i, caption in enumerate(each.captions)}
    evaluation, _ = evaluate(
        lambda prompt, seed: load_image(by_caption[prompt]), sets, networks, SETTINGS, lambda what, part: None
    )
    assert all(each.quality.retrieval == each.real for each in evaluation.sets)
    assert evaluation.diversity.within.value == pytest.approx(0, abs=1e-6) and evaluation.diversity.across > 0.001


def test_files(networks: Networks, sets: list[PromptSet], tmp_path: Path) -> None:
    evaluation, pictures = evaluate(RecordingDrawer(), sets, networks, SETTINGS, lambda what, part: None)
    paths = write_evaluation(evaluation, pictures, {"model": "noise"}, tmp_path / "deep" / "out")
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == sorted(path.name for path in paths)
    found = json.loads(paths[0].read_text(encoding="utf-8"))
    assert paths[0].name == FIGURES and found["conditions"]["model"] == "noise"
    assert found["sets"][0]["quality"]["kid"]["value"] == evaluation.sets[0].quality.kid.value
    assert found["sets"][2]["quality"]["retrieval"]["ranks"] == list(evaluation.sets[2].quality.retrieval.ranks)
    sheet = np.asarray(Image.open(tmp_path / "deep" / "out" / "training.png"))
    assert np.array_equal(sheet[:32, :32], RecordingDrawer()("", 5))  # the first drawn picture, the real one below it
    assert np.array_equal(sheet[52:84, :32], load_image(sets[0].samples[0]))


def test_folder_that_cannot_be_written(networks: Networks, sets: list[PromptSet], tmp_path: Path) -> None:
    evaluation, pictures = evaluate(RecordingDrawer(), sets[:1], networks, SETTINGS, lambda what, part: None)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another --out"):
        write_evaluation(evaluation, pictures, {}, tmp_path / "file")


def test_error_of_the_artist_comes_through(networks: Networks, sets: list[PromptSet]) -> None:
    def refuse(prompt: str, seed: int) -> Picture:
        raise PromptError("no")

    with pytest.raises(PromptError, match="no"):
        evaluate(refuse, sets, networks, SETTINGS, lambda what, part: None)


@pytest.mark.parametrize("field", ["count", "seeds", "diversity_prompts", "seed"])
def test_settings_that_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}: expected"):
        EvaluationSettings(**{field: -1})


def test_one_picture_is_no_set(networks: Networks) -> None:
    one, two = torch.rand(1, 3, 8, 8), torch.rand(2, 3, 8, 8)
    for images, references in ((one, two), (two, one)):
        with pytest.raises(DataError, match="two or more, drawn and real"):
            evaluate_pictures(images, ["lion"] * len(images), references, networks)
