"""The retrieval score: how often a drawn picture matches its own caption better than other captions.

It is a small version of CLIP's score, built from parts that may be distributed.  The head, a perceptron, maps a
picture's EfficientNet features to the embedding space of MiniLM's sentences.  There the picture's own caption is ranked
among fixed candidates, the names of all emoji.  R@k is the share of pictures whose own caption is among the first k.
The word for the style (", 3d") is removed from a caption: this score measures what is drawn, KID measures how.

Some names are near many pictures and would be found too often, most of all names from the head's training.  So the
cosine of a name is reduced by half of its mean cosine to the ten nearest pictures of a bank: cross-domain similarity
local scaling (Conneau et al. 2018).

head_training.py trained the head on the training split.  Held-out concepts are new to the head too, and it finds even
real pictures of them less often.  So compare a score with the score of real pictures for the same captions.
"""

from __future__ import annotations

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
from mobile_diffusion.strict_json import parse_json

WEIGHTS = "retrieval.safetensors"
RECORD = "retrieval.json"
HIDDEN = 384
NEIGHBOURS = 10
CANDIDATES, BANK = "candidates", "bank"
"""Names of the tensors of candidates and bank in the file of the weights."""
LARGEST = 4.0
"""Features are clamped to this number of standard deviations."""


class Head(nn.Module):
    """The perceptron: EfficientNet's features (B, 1280) -> unit vectors (B, 384) in the space of sentences."""

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
        """Features (B, 1280) -> unit vectors (B, 384)."""
        standard = ((features - self.mean) / self.scale).clamp(-LARGEST, LARGEST)
        inner = F.gelu(self.hidden(self.dropout(standard)))
        return F.normalize(self.output(self.dropout(inner)), dim=1)


@dataclass(frozen=True)
class RetrievalScore:
    """How well pictures match their captions."""

    recall_1: Interval
    """Share of pictures whose own caption is nearest."""
    recall_5: Interval
    """Share of pictures whose own caption is among the five nearest."""
    cosine: Interval
    """Mean cosine between a picture and its own caption."""
    candidates: int
    """Number of captions among which each picture's own caption is ranked."""
    ranks: tuple[int, ...]
    """Rank of each picture's own caption; 1 is nearest."""
    cosines: tuple[float, ...]
    """Cosine between each picture and its own caption."""


class Retrieval:
    """The networks and the candidates, loaded."""

    def __init__(
        self,
        features: Features,
        head: Head,
        embedder: Sentences,
        candidates: Mapping[str, Tensor],
        bank: Tensor,
    ) -> None:
        """Take `candidates`, captions with unit vectors (384,), and `bank`, unit vectors (P, 384) of pictures."""
        self._features, self._head, self._sentences = features, head.eval(), embedder
        self._places = {caption: place for place, caption in enumerate(candidates)}
        self._vectors, self._bank = torch.stack(list(candidates.values())), bank
        self._hubness = hubness(self._vectors, bank)

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """Embed images float32 (B, 3, H, W) in [0, 1] as unit vectors (B, 384) in the space of sentences."""
        return self._head(self._features(images))

    def score(self, images: Tensor, captions: Sequence[str], seed: int = 0) -> RetrievalScore:
        """Rank the own caption of every image float32 (B, 3, H, W) in [0, 1] among the candidates.

        `seed` is that of the intervals.  Raises DataError when the numbers of captions and images differ.
        """
        if len(captions) != len(images):
            raise DataError(f"captions: expected {len(images)}, one per picture, got {len(captions)}")
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
        """Embed texts as unit vectors (B, 384); a text that is a candidate has the candidate's vector."""
        new = sorted(set(texts) - set(self._places))
        vectors = dict(zip(new, self._sentences.embed(new), strict=True))
        return torch.stack([vectors[text] if text in vectors else self._vectors[self._places[text]] for text in texts])


def hubness(texts: Tensor, bank: Tensor) -> Tensor:
    """Half of the mean cosine of each text (N, D) to the ten nearest pictures of the bank (P, D): float32 (N,)."""
    return (texts @ bank.T).topk(min(NEIGHBOURS, len(bank)), dim=1).values.mean(dim=1) / 2


def own_ranks(similarities: Tensor, own: Tensor, places: Tensor) -> Tensor:
    """Rank int64 (B,) of each picture's own caption among the candidates; an equal candidate ranks before it.

    Args:
        similarities: (B, C), pictures to candidates.
        own: (B,), pictures to their own captions.
        places: int64 (B,), the column of the own caption, which is not compared with itself; -1 if it is no candidate.
    """
    others = torch.arange(similarities.shape[1]) != places[:, None]  # (B, C)
    return 1 + ((similarities >= own[:, None]) & others).sum(dim=1)


def subject(caption: str) -> str:
    """The subject of a caption: the caption without the word for the style at its end.

    >>> subject("red apple, 3d"), subject("salt, pepper")
    ('red apple', 'salt, pepper')
    """
    what, comma, style = caption.rpartition(", ")
    return what if comma and style in STYLES else caption


def open_retrieval(
    folder: Path | None = None, text: Path | None = None, device: torch.device | str = "cpu"
) -> Retrieval:
    """Open the retrieval head with the networks around it.

    `folder` contains the head and `text` the text encoder, by default those of this package.  Raises ConfigError when
    the extra `quality` is not installed.  Raises CheckpointError when a file is damaged, or when the head was trained
    with another text encoder or image network.
    """
    folder = folder or retrieval_model()
    record, tensors = _read(folder)
    embedder = Sentences(text)
    for name, expected, found in (
        ("text encoder", record["text_encoder_sha256"], embedder.sha256),
        ("image network", record["image_network_sha256"], EFFICIENTNET.sha256),
    ):
        if found != expected:
            raise CheckpointError(f"{folder}: expected the {name} {expected[:16]}, got {found[:16]}; train it again")
    vectors, bank = (F.normalize(tensors.pop(name, torch.zeros(0, 1)), dim=1) for name in (CANDIDATES, BANK))
    head = Head(record["hidden"])
    try:
        head.load_state_dict(tensors)
        candidates = dict(zip(record["candidates"], vectors, strict=True))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{folder / WEIGHTS}: expected a head, got {str(error).splitlines()[-1]}") from error
    return Retrieval(efficientnet.open_efficientnet(device), head, embedder, candidates, bank)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the training record and the weights as float32."""
    try:
        record = parse_json((folder / RECORD).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: expected the retrieval head, got {error}; restore it") from error
    for name, tensor in tensors.items():
        if not np.isfinite(tensor.float().numpy()).all():
            raise CheckpointError(f"{folder / WEIGHTS}: expected finite values in {name}, got others; restore it")
    return record, {name: tensor.float() for name, tensor in tensors.items()}
