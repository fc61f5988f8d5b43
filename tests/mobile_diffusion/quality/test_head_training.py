"""Training of the retrieval head on features that a head can learn, and its parts by hand."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.data import Sample
from mobile_diffusion.errors import TrainingError
from mobile_diffusion.quality import head_training
from mobile_diffusion.quality.head_training import (
    HeadData,
    HeadSettings,
    Words,
    choose_words,
    contrastive_loss,
    make_head,
    part_of,
    picture_bank,
    picture_features,
    train_head,
)
from mobile_diffusion.quality.retrieval import RECORD, WEIGHTS, Head


def unit(count: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, 384, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_loss_by_hand() -> None:
    """Softmax of each picture over the texts of other concepts and its own, and the other way round."""
    pictures, texts, concepts = unit(4, 0), unit(4, 1), [0, 0, 1, 2]
    logits = (pictures.double() @ texts.double().T / 0.1).numpy()
    total = 0.0
    for i in range(4):
        rivals = [j for j in range(4) if j == i or concepts[j] != concepts[i]]
        total -= np.log(np.exp(logits[i, i]) / np.exp(logits[i, rivals]).sum())
        total -= np.log(np.exp(logits[i, i]) / np.exp(logits[rivals, i]).sum())
    same = torch.tensor(concepts)[:, None] == torch.tensor(concepts)
    assert contrastive_loss(pictures, texts, same, 0.1).item() == pytest.approx(total / 8, rel=1e-5)


def test_words_are_labels_and_keywords() -> None:
    words = Words(unit(6, 0), ((0, 1, 2), (3,), (4, 5)))
    generator = np.random.default_rng(0)
    drawn = Counter(tuple(choose_words(words, np.array([0, 1, 2]), 0.5, generator).tolist()) for _ in range(400))
    assert {row[0] for row in drawn} == {0, 1, 2} and {row[1] for row in drawn} == {3}
    labels = sum(count for row, count in drawn.items() if row[0] == 0)
    assert 160 < labels < 240


def test_parts_are_whole_families(shapes: Sequence[Sample]) -> None:
    assert {part_of(sample) for sample in shapes if sample.split == "held-out"} == {"held-out"}
    some = shapes[0]
    parts = Counter(part_of(dataclasses.replace(some, family=f"family {number}")) for number in range(1000))
    assert 60 < parts["validation"] < 140 and parts["held-out"] == 0
    assert part_of(some) == part_of(dataclasses.replace(some, id="other", hexcode="9", style="noto"))


def learnable(samples: Sequence[Sample], count: int) -> HeadData:
    """`count` concepts in two styles: features are a fixed rotation of the words' vectors, with noise."""
    drawn = [
        dataclasses.replace(samples[0], family=f"family {number}", hexcode=str(number))
        for number in range(count)
        for _ in range(2)
    ]
    index = torch.arange(count).repeat_interleave(2)
    candidates = unit(count, 5)
    rotation = torch.randn(384, 1280, generator=torch.Generator().manual_seed(6))
    noise = torch.randn(2 * count, 1280, generator=torch.Generator().manual_seed(7))
    words = Words(candidates, tuple((row,) for row in index.tolist()))
    return HeadData(drawn, candidates[index] @ rotation + 0.1 * noise, words, candidates, index)


def test_head_learns_and_generalises(shapes: Sequence[Sample]) -> None:
    _, curve = train_head(learnable(shapes, 400), HeadSettings(epochs=12, batch=64))
    assert len(curve) == 12 and curve[-1]["loss"] < curve[0]["loss"] / 2
    assert max(each["recall_1"] for each in curve) > 0.5  # of 400 candidates, on families that were not trained on


def test_same_seed_trains_the_same_head(shapes: Sequence[Sample]) -> None:
    data = learnable(shapes, 50)
    heads = [train_head(data, HeadSettings(epochs=1, batch=32, seed=seed))[0] for seed in (0, 0, 1)]
    assert torch.equal(heads[0].output.weight, heads[1].output.weight)
    assert not torch.equal(heads[0].output.weight, heads[2].output.weight)


def test_loss_that_is_not_finite_stops(shapes: Sequence[Sample]) -> None:
    data = learnable(shapes, 100)
    spoiled = dataclasses.replace(data, features=data.features * torch.nan)
    with pytest.raises(TrainingError, match="epoch 0: expected a finite loss, got nan"):
        train_head(spoiled, HeadSettings(epochs=1, batch=32))


def test_bank_holds_the_mean_picture_of_every_concept() -> None:
    features = torch.randn(5, 1280, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    head = Head(16)
    pictures = head(features).detach()
    expected = torch.stack([F.normalize(pictures[[0, 3]].mean(dim=0), dim=0), pictures[4]])
    bank = picture_bank(head, features, torch.tensor([3, 7, 7, 3, 9]))
    assert bank.shape == (3, 384)
    torch.testing.assert_close(bank[[0, 2]], expected)


def test_features_are_kept(shapes: Sequence[Sample], tmp_path: Path) -> None:
    cache, calls = tmp_path / "run" / "features.safetensors", []

    def network(images: Tensor) -> Tensor:
        calls.append(len(images))
        return images.mean(dim=(2, 3))

    found = picture_features(shapes, network, cache, "shapes")
    assert sum(calls) == len(found) == len(shapes)
    assert torch.equal(picture_features(shapes, network, cache, "shapes"), found) and sum(calls) == len(shapes)
    with pytest.raises(TrainingError, match="expected features of others, got those of shapes; delete it"):
        picture_features(shapes, network, cache, "others")


def test_files(shapes: Sequence[Sample], shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_training, "open_efficientnet", lambda: lambda images: images.flatten(1)[:, :1280])
    monkeypatch.setattr(head_training, "part_of", lambda each: "validation" if each.label == "lion" else part_of(each))
    record = make_head(shapes_folder, tmp_path / "out", tmp_path / "run", HeadSettings(epochs=2, batch=4))
    assert json.loads((tmp_path / "out" / RECORD).read_text(encoding="utf-8")) == record
    assert {tensor.dtype for tensor in load_file(tmp_path / "out" / WEIGHTS).values()} == {torch.float16}
    assert record["parts"]["held-out"]["concepts"] == 3 and record["parts"]["validation"]["concepts"] == 1
    assert sum(part["pictures"] for part in record["parts"].values()) == len(shapes)
    assert record["candidates"] == list(dict.fromkeys(sample.label for sample in shapes))
