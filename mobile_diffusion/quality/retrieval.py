"""A retrieval score: do the words that a picture was drawn for find it again?

CLIP's score in small, from parts that may be shipped.  A picture's EfficientNet features go through a perceptron into
the space of MiniLM's sentences; there its own caption is ranked among a fixed set of candidates, the names of all
emoji.  R@k is the share of pictures whose own caption is among the first k.  The words for a style (", 3d") are left
out of a caption: the score asks what is drawn, KID asks how.

Some names lie near many pictures and would be found for everything, above all those that the perceptron was trained
on.  So a name's cosine is lowered by half of its mean cosine to the ten nearest of a bank of pictures: cross-domain
similarity local scaling (Conneau et al. 2018).

The perceptron was trained on pictures of the training split by `head_training.py`; concepts that the shipped model
has never seen are new to it, too, and even real pictures of them are found less often.  A score is therefore to be
read beside the score of real pictures of the same captions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.data import STYLES
from mobile_diffusion.errors import CheckpointError, DataError
from mobile_diffusion.quality import efficientnet, sentences
from mobile_diffusion.quality.bootstrap import Interval, mean_interval
from mobile_diffusion.quality.inception import Features
from mobile_diffusion.quality.packaged import EFFICIENTNET
from mobile_diffusion.quality.sentences import Sentences
from mobile_diffusion.shipped import retrieval_model

WEIGHTS = "retrieval.safetensors"
RECORD = "retrieval.json"
HIDDEN = 384
NEIGHBOURS = 10
CANDIDATES, BANK = "candidates", "bank"
"""Names of the candidates' and of the bank's vectors among the weights."""
LARGEST = 4.0
"""Features are cut off at so many standard deviations."""


class Head(nn.Module):
    """EfficientNet's features (B, 1280) -> unit vectors (B, 384) in the space of sentences."""

    mean: Tensor
    scale: Tensor

    def __init__(self, hidden: int = HIDDEN, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(efficientnet.WIDTH))
        self.register_buffer("scale", torch.ones(efficientnet.WIDTH))
        self.hidden = nn.Linear(efficientnet.WIDTH, hidden)
        self.output = nn.Linear(hidden, sentences.WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        standard = ((features - self.mean) / self.scale).clamp(-LARGEST, LARGEST)
        inner = F.gelu(self.hidden(self.dropout(standard)))
        return F.normalize(self.output(self.dropout(inner)), dim=1)


@dataclass(frozen=True)
class RetrievalScore:
    """How well captions find their pictures."""

    recall_1: Interval
    """Share of pictures whose own caption is nearest."""
    recall_5: Interval
    """Share of pictures whose own caption is among the five nearest."""
    cosine: Interval
    """Mean cosine between a picture and its own caption."""
    candidates: int
    """Captions that each picture's own one is ranked among."""
    ranks: tuple[int, ...]
    """Rank of each picture's own caption; 1 is nearest."""
    cosines: tuple[float, ...]
    """Cosine of each picture to its own caption."""


class Retrieval:
    """The networks and the candidates in memory."""

    def __init__(
        self,
        features: Features,
        head: Head,
        embedder: Sentences,
        candidates: Mapping[str, Tensor],
        bank: Tensor,
    ) -> None:
        """`candidates` are captions with their unit vectors (384,), `bank` (P, 384) unit vectors of pictures."""
        self._features, self._head, self._sentences = features, head.eval(), embedder
        self._places = {caption: place for place, caption in enumerate(candidates)}
        self._vectors, self._bank = torch.stack(list(candidates.values())), bank
        self._hubness = hubness(self._vectors, bank)

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """Images float32 (B, 3, H, W) in [0, 1] -> unit vectors (B, 384) in the space of sentences."""
        return self._head(self._features(images))

    def score(self, images: Tensor, captions: Sequence[str], seed: int = 0) -> RetrievalScore:
        """Rank every picture's own caption among the candidates; `seed` is that of the intervals.

        Raises DataError when there are not as many captions as images.
        """
        if len(captions) != len(images):
            raise DataError(f"captions: expected {len(images)}, one for every picture, got {len(captions)}")
        subjects = [subject(caption) for caption in captions]
        pictures, own = self.embed(images), self._embed_texts(subjects)
        cosines = (pictures * own).sum(dim=1)  # (B,)
        places = torch.tensor([self._places.get(text, -1) for text in subjects])
        similarities = pictures @ self._vectors.T - self._hubness  # (B, C)
        ranks = own_ranks(similarities, cosines - hubness(own, self._bank), places)
        return RetrievalScore(
            recall_1=mean_interval((ranks <= 1).numpy(), seed),
            recall_5=mean_interval((ranks <= 5).numpy(), seed),
            cosine=mean_interval(cosines.numpy(), seed),
            candidates=len(self._places),
            ranks=tuple(ranks.tolist()),
            cosines=tuple(cosines.tolist()),
        )

    def _embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors (B, 384): those of the candidates where they are among them."""
        new = sorted(set(texts) - set(self._places))
        vectors = dict(zip(new, self._sentences.embed(new), strict=True))
        return torch.stack([vectors[text] if text in vectors else self._vectors[self._places[text]] for text in texts])


def hubness(texts: Tensor, bank: Tensor) -> Tensor:
    """Half of the mean cosine of each text (N, D) to the ten nearest pictures of the bank (P, D): float32 (N,)."""
    return (texts @ bank.T).topk(min(NEIGHBOURS, len(bank)), dim=1).values.mean(dim=1) / 2


def own_ranks(similarities: Tensor, own: Tensor, places: Tensor) -> Tensor:
    """Rank int64 (B,) of each picture's own caption among the candidates; a draw counts against it.

    Args:
        similarities: (B, C) of pictures to candidates.
        own: (B,) of pictures to their own captions.
        places: (B,) the place of the own caption among the candidates, which is not compared with itself; or -1.
    """
    others = torch.arange(similarities.shape[1]) != places[:, None]  # (B, C)
    return 1 + ((similarities >= own[:, None]) & others).sum(dim=1)


def subject(caption: str) -> str:
    """What a caption says is drawn, without the word for the style at its end.

    >>> subject("red apple, 3d"), subject("salt, pepper")
    ('red apple', 'salt, pepper')
    """
    what, comma, style = caption.rpartition(", ")
    return what if comma and style in STYLES else caption


def open_retrieval(
    folder: Path | None = None, text: Path | None = None, device: torch.device | str = "cpu"
) -> Retrieval:
    """Open the retrieval head with the networks around it.

    `folder` holds the head and `text` the text encoder; by default those that come with the package.
    Raises ConfigError without the extra `quality`, CheckpointError when a file is damaged or was made for another
    text encoder or image network.
    """
    folder = folder or retrieval_model()
    record, tensors = _read(folder)
    embedder = Sentences(text)
    for name, expected, found in (
        ("text encoder", record["text_encoder_sha256"], embedder.sha256),
        ("image network", record["image_network_sha256"], EFFICIENTNET.sha256),
    ):
        if found != expected:
            raise CheckpointError(f"{folder}: expected the {name} {expected[:16]}, got {found[:16]}; train the head")
    vectors, bank = (F.normalize(tensors.pop(name, torch.zeros(0, 1)), dim=1) for name in (CANDIDATES, BANK))
    head = Head(record["hidden"])
    try:
        head.load_state_dict(tensors)
        candidates = dict(zip(record["candidates"], vectors, strict=True))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{folder / WEIGHTS}: expected a head, got {str(error).splitlines()[-1]}") from error
    return Retrieval(efficientnet.open_efficientnet(device), head, embedder, candidates, bank)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Training record and float32 weights."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: expected the retrieval head, got {error}; restore it") from error
    for name, tensor in tensors.items():
        if not np.isfinite(tensor.float().numpy()).all():
            raise CheckpointError(f"{folder / WEIGHTS}: expected finite values in {name}, got others; restore it")
    return record, {name: tensor.float() for name, tensor in tensors.items()}
