"""Retrieval against brute force, and the shipped head on pictures that the emoji model draws."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import BertModel
from transformers.models.bert import BertConfig as TheirConfig

from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.errors import CheckpointError, DataError
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.presets import MINILM
from mobile_diffusion.quality import open_retrieval, stack_pictures
from mobile_diffusion.quality.retrieval import RECORD, WEIGHTS, Head, Retrieval, own_ranks, subject
from mobile_diffusion.quality.sentences import Sentences
from mobile_diffusion.shipped import retrieval_model, shipped_model
from mobile_diffusion.tokenization.tokenizer import WordPieceTokenizer

BANK = F.normalize(torch.randn(30, 384, generator=torch.Generator().manual_seed(1)), dim=1)
LABELS = ("red apple", "green apple", "pizza", "lion", "koala", "house", "tree", "rocket")


@pytest.fixture(scope="module")
def embedder() -> Sentences:
    return Sentences()


def pooled(images: Tensor) -> Tensor:
    """Stands for EfficientNet: features (B, 1280) that differ between pictures."""
    return F.interpolate(images, (16, 27)).flatten(1)[:, :1280]


def random_images(count: int) -> Tensor:
    return torch.rand(count, 3, 20, 20, generator=torch.Generator().manual_seed(count))


@pytest.fixture(scope="module")
def untrained(embedder: Sentences) -> Retrieval:
    torch.manual_seed(0)
    return Retrieval(pooled, Head(32), embedder, dict(zip(LABELS, embedder.embed(LABELS), strict=True)), BANK)


def test_sentences_against_transformers(embedder: Sentences) -> None:
    """Mean over real tokens of BERT's states, of unit length, whatever the batch."""
    sizes = {"vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
    theirs = BertModel(TheirConfig(**sizes, num_attention_heads=12), add_pooling_layer=False).eval()
    theirs.load_state_dict(
        {name: tensor.float() for name, tensor in load_file(shipped_model() / "text_encoder.safetensors").items()},
        strict=False,
    )
    tokenizer = WordPieceTokenizer.from_file(shipped_model() / "tokenizer.json", MINILM.max_tokens)
    texts = ["red apple", "a very long name of a thing that nobody has drawn", "x"]
    for text, vector in zip(texts, embedder.embed(texts), strict=True):
        encoded = tokenizer.encode(text)
        ids = [int(token) for token, real in zip(encoded.ids, encoded.mask, strict=True) if real]
        with torch.inference_mode():
            expected = F.normalize(theirs(torch.tensor([ids])).last_hidden_state[0].mean(dim=0), dim=0)
        torch.testing.assert_close(vector, expected, rtol=1e-3, atol=1e-4)
    assert embedder.embed([]).shape == (0, 384)


@pytest.mark.parametrize(
    "captions", [("pizza, 3d", "lion", "red apple, flat", "koala"), ("a blue fox", "tree", "pizza")]
)
def test_score_against_brute_force(untrained: Retrieval, embedder: Sentences, captions: Sequence[str]) -> None:
    images = random_images(len(captions))
    found = untrained.score(images, captions)
    bank, ranks, cosines = BANK.double().numpy(), [], []

    def scaled(picture: np.ndarray, words: str) -> tuple[float, float]:
        """Cosine, and the cosine less half the mean of the text's ten largest cosines to the bank."""
        text = embedder.embed([words])[0].double().numpy()
        nearest = sorted((float(text @ other) for other in bank), reverse=True)[:10]
        return float(picture @ text), float(picture @ text) - sum(nearest) / 20

    for image, caption in zip(images, captions, strict=True):
        picture = untrained.embed(image[None])[0].double().numpy()
        words = caption.split(",")[0]
        cosine, own = scaled(picture, words)
        ranks.append(1 + sum(scaled(picture, label)[1] >= own for label in LABELS if label != words))
        cosines.append(cosine)
    assert found.ranks == tuple(ranks)
    assert found.candidates == len(LABELS)
    assert found.recall_1.value == np.mean(np.array(ranks) <= 1)
    assert found.recall_5.value == np.mean(np.array(ranks) <= 5)
    assert found.cosine.value == pytest.approx(np.mean(cosines), abs=1e-5)


def test_draws_count_against_the_picture() -> None:
    similarities = torch.tensor([[0.5, 0.5, 0.1], [0.9, 0.2, 0.3], [0.5, 0.5, 0.5]])
    own, places = torch.tensor([0.5, 0.3, 0.5]), torch.tensor([1, 2, -1])
    assert own_ranks(similarities, own, places).tolist() == [2, 2, 4]


@pytest.mark.parametrize(
    ("caption", "words"),
    [("red apple, 3d", "red apple"), ("red apple", "red apple"), ("salt, pepper", "salt, pepper"), ("a, flat", "a")],
)
def test_style_is_not_asked_for(caption: str, words: str) -> None:
    assert subject(caption) == words


def test_one_caption_for_every_picture(untrained: Retrieval) -> None:
    with pytest.raises(DataError, match="expected 3, one per picture, got 2"):
        untrained.score(random_images(3), ("lion", "tree"))


def test_shipped_head_knows_what_the_emoji_model_draws() -> None:
    """All four captions among the first quarter of the candidates: by chance once in 256 times."""
    prompts = ("red apple, 3d", "pizza, 3d", "orange book, 3d", "grinning face, 3d")
    pipeline, retrieval = Pipeline.from_model(open_checkpoint(shipped_model())), open_retrieval()
    drawn = stack_pictures([pipeline.generate(prompt, seed=7) for prompt in prompts])
    score = retrieval.score(drawn, prompts)
    assert max(score.ranks) <= score.candidates / 4, score.ranks
    shifted = retrieval.score(drawn, prompts[1:] + prompts[:1])
    assert score.cosine.value > shifted.cosine.value + 0.1


def test_record_of_the_shipped_head() -> None:
    """Small, in half precision, and measured on families that training did not see."""
    folder = retrieval_model()
    record, weights = json.loads((folder / RECORD).read_text(encoding="utf-8")), load_file(folder / WEIGHTS)
    assert (folder / WEIGHTS).stat().st_size < 4_000_000
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert len(record["candidates"]) == len(set(record["candidates"])) == len(weights["candidates"])
    assert record["parts"]["held-out"]["concepts"] > 100
    assert record["parts"]["held-out"]["recall_5"] > 10 * 5 / len(record["candidates"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("cut", "restore it"),
        ("nan", "finite"),
        ("missing", "restore it"),
        ("text", "the text encoder 0000"),
        ("names", "a head"),
    ],
)
def test_damaged_head_is_refused(tmp_path: Path, damage: str, message: str) -> None:
    folder = shutil.copytree(retrieval_model(), tmp_path / "quality")
    weights = folder / WEIGHTS
    tensors = load_file(weights)
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-9])
    if damage == "nan":
        tensors["hidden.bias"][3] = torch.nan
        save_file(tensors, weights)
    if damage == "names":
        save_file({name: tensor for name, tensor in tensors.items() if name != "output.bias"}, weights)
    if damage == "missing":
        weights.unlink()
    if damage == "text":
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        (folder / RECORD).write_text(json.dumps({**record, "text_encoder_sha256": "0" * 64}))
    with pytest.raises(CheckpointError, match=message) as caught:
        open_retrieval(folder)
    assert "\n" not in str(caught.value)
