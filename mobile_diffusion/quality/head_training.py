"""Trains the retrieval head, which maps EfficientNet's features of pictures to the embeddings of their words.

The loss is symmetric and contrastive over a batch (Radford et al. 2021): each picture is matched with one of its words,
its label or a keyword.  Training uses pictures of one concept in all styles.  Concepts are split by family
(data/concept_families.py).  A tenth of the training families, chosen by hash, is used only for early stopping.
Held-out families are measured once, for the record.  Features are computed once and cached in the run's folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save, save_file
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.data import Sample, load_dataset, load_image
from mobile_diffusion.data.dataset import DATASET
from mobile_diffusion.errors import TrainingError
from mobile_diffusion.progress import Progress, silent, tracked
from mobile_diffusion.progress import part_of as progress_of
from mobile_diffusion.quality import sentences
from mobile_diffusion.quality.efficientnet import open_efficientnet
from mobile_diffusion.quality.images import stack_pictures
from mobile_diffusion.quality.inception import Features
from mobile_diffusion.quality.packaged import EFFICIENTNET, sha256_of
from mobile_diffusion.quality.retrieval import (
    BANK,
    CANDIDATES,
    HIDDEN,
    RECORD,
    WEIGHTS,
    Head,
    hubness,
    own_ranks,
)
from mobile_diffusion.quality.sentences import Sentences
from mobile_diffusion.staging import staged_file, write_bytes

CACHE = "features.safetensors"
PARTS = ("train", "validation", "held-out")
FEATURES_READ = 0.5
"""Progress when the features are computed; the rest is training."""
SMALLEST_SCALE = 0.05
"""Added to the standard deviation of every feature, because some features hardly vary on emoji."""
VALIDATION_SHARE = 0.1
"""Expected share of the training families that is used only for early stopping."""


@dataclass(frozen=True)
class HeadSettings:
    """Training settings of the head."""

    epochs: int = 15
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    dropout: float = 0.4
    temperature: float = 0.05
    label_share: float = 0.8
    """Share of pictures that are matched with their label; the others are matched with a keyword."""
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Words:
    """Embeddings of all words of the data set, and the words of each picture."""

    vectors: Tensor
    """float32 (words, 384), of unit length."""
    rows: tuple[tuple[int, ...], ...]
    """Per picture: the row of its label in `vectors`, then the rows of its keywords."""

    @classmethod
    def of(cls, samples: Sequence[Sample], embedder: Sentences) -> Words:
        """Embed the words of all samples."""
        texts = sorted({word for sample in samples for word in (sample.label, *sample.keywords)})
        place = {text: row for row, text in enumerate(texts)}
        rows = tuple(tuple(place[word] for word in (sample.label, *sample.keywords)) for sample in samples)
        return cls(embedder.embed(texts), rows)


def picture_features(
    samples: Sequence[Sample], network: Features, cache: Path, source: str, progress: Progress = silent
) -> Tensor:
    """Features float32 (N, 1280) of all pictures, computed once and stored in the file `cache`.

    `source` identifies data set and network; raises TrainingError when `cache` has features of another source.
    """
    if not cache.exists():
        batches = [samples[start : start + 32] for start in range(0, len(samples), 32)]
        tracking = tracked(batches, "features", progress)
        parts = [network(stack_pictures([load_image(each) for each in batch])) for batch in tracking]
        cache.parent.mkdir(parents=True, exist_ok=True)
        with staged_file(cache) as scratch:
            save_file({"features": torch.cat(parts)}, scratch, metadata={"source": source})
    with safe_open(cache, framework="pt") as stored:
        found = (stored.metadata() or {}).get("source")
        if found != source:
            raise TrainingError(f"{cache}: expected features of {source}, got those of {found}; delete it")
        return stored.get_tensor("features")


def part_of(sample: Sample) -> str:
    """The part of the data, one of `PARTS`, that a picture belongs to; it depends only on the concept's family."""
    if sample.split == "held-out":
        return "held-out"
    digest = hashlib.sha256(f"validation/{sample.family}".encode()).digest()
    return "validation" if int.from_bytes(digest[:8], "big") < VALIDATION_SHARE * 2**64 else "train"


def choose_words(words: Words, chosen: NDArray[np.int64], label_share: float, generator: np.random.Generator) -> Tensor:
    """Choose a word per picture, its label or a keyword: rows of `words.vectors`, int64 (B,)."""
    rows = []
    for index, label in zip(chosen, generator.random(len(chosen)) < label_share, strict=True):
        own = words.rows[index]
        rows.append(own[0] if label or len(own) == 1 else own[1 + generator.integers(len(own) - 1)])
    return torch.tensor(rows)


def contrastive_loss(pictures: Tensor, texts: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Symmetric cross-entropy between unit vectors of pictures (B, D) and of their words (B, D).

    `same` bool (B, B) marks pairs of pictures of the same concept; their words are not used as negatives.
    """
    others = same & ~torch.eye(len(same), dtype=torch.bool)
    logits = (pictures @ texts.T / temperature).masked_fill(others, -torch.inf)
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@torch.inference_mode()
def picture_bank(head: Head, features: Tensor, concepts: Tensor) -> Tensor:
    """The mean embedding of every concept's pictures, as unit vectors (concepts, 384).

    Args:
        head: maps features to embeddings.
        features: (N, 1280) of the pictures of all styles.
        concepts: int64 (N,): the concept of each picture.
    """
    _, places = torch.unique(concepts, return_inverse=True)
    total = torch.zeros(int(places.max()) + 1, sentences.WIDTH).index_add_(0, places, head(features))
    return F.normalize(total, dim=1)


@torch.inference_mode()
def recall(head: Head, features: Tensor, candidates: Tensor, places: Tensor, bank: Tensor) -> dict[str, float]:
    """R@1, R@5 and mean cosine of pictures whose own captions are the candidates at `places`.

    Args:
        head: maps features to embeddings.
        features: (N, 1280) of the pictures.
        candidates: unit vectors (C, 384).
        places: int64 (N,): the row of each picture's own caption in `candidates`.
        bank: unit vectors (P, 384) of pictures, for `hubness`.
    """
    pictures = head(features)
    similarities = pictures @ candidates.T - hubness(candidates, bank)
    ranks = own_ranks(similarities, similarities.gather(1, places[:, None])[:, 0], places)
    cosines = (pictures * candidates[places]).sum(dim=1)
    figures = {"recall_1": ranks <= 1, "recall_5": ranks <= 5, "cosine": cosines}
    return {name: round(float(values.float().mean()), 4) for name, values in figures.items()}


@dataclass(frozen=True, eq=False)
class HeadData:
    """The data for training and measuring a head."""

    samples: Sequence[Sample]
    features: Tensor
    """float32 (N, 1280), a row per sample."""
    words: Words
    candidates: Tensor
    """float32 (C, 384): embeddings of the labels of all concepts."""
    places: Tensor
    """int64 (N,): the row of each picture's label in `candidates`."""

    def rows(self, part: str) -> NDArray[np.int64]:
        """The indices of the pictures in one of `PARTS`."""
        return np.flatnonzero([part_of(sample) == part for sample in self.samples])

    def figures(self, head: Head, rows: NDArray[np.int64]) -> dict[str, float]:
        """`recall` of the pictures in `rows` among all candidates, with the bank of the training pictures."""
        return recall(head, self.features[rows], self.candidates, self.places[rows], self.bank(head))

    def bank(self, head: Head) -> Tensor:
        """The `picture_bank` of the training pictures."""
        train = self.rows("train")
        return picture_bank(head, self.features[train], self.places[train])


def train_head(
    data: HeadData, settings: HeadSettings, progress: Progress = silent
) -> tuple[Head, list[dict[str, float]]]:
    """Train a head; return it at the epoch with the best validation R@5, and the validation metrics per epoch.

    Raises TrainingError when the loss is not finite.
    """
    torch.manual_seed(settings.seed)
    generator = np.random.default_rng(settings.seed)
    train, validation = data.rows("train"), data.rows("validation")
    head = Head(HIDDEN, settings.dropout)
    head.mean.copy_(data.features[train].mean(dim=0))
    head.scale.copy_(data.features[train].std(dim=0) + SMALLEST_SCALE)
    batches = len(train) // settings.batch
    optimizer = torch.optim.AdamW(head.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * batches
    )
    curve: list[dict[str, float]] = []
    best: dict[str, Tensor] = {}
    for epoch in tracked(range(settings.epochs), "training", progress):
        head.train()
        for batch in np.split(generator.permutation(train)[: batches * settings.batch], batches):
            loss = batch_loss(head, data, batch, settings, generator)
            if not torch.isfinite(loss):
                raise TrainingError(f"epoch {epoch}: expected a finite loss, got {loss}; lower the learning rate")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        figures = data.figures(head.eval(), validation)
        if not curve or figures["recall_5"] > max(each["recall_5"] for each in curve):
            best = {name: tensor.clone() for name, tensor in head.state_dict().items()}
        curve.append({"epoch": epoch + 1, "loss": round(float(loss.detach()), 4), **figures})
    head.load_state_dict(best)
    return head.eval(), curve


def batch_loss(
    head: Head, data: HeadData, batch: NDArray[np.int64], settings: HeadSettings, generator: np.random.Generator
) -> Tensor:
    """The contrastive loss of the pictures in `batch`, each with one of its words."""
    texts = data.words.vectors[choose_words(data.words, batch, settings.label_share, generator)]
    same = data.places[batch][:, None] == data.places[batch]
    return contrastive_loss(head(data.features[batch]), texts, same, settings.temperature)


def make_head(data: Path, out: Path, run: Path, settings: HeadSettings, progress: Progress = silent) -> dict[str, Any]:
    """Train on the data set in `data`, write weights and record to `out`, and return the record.

    The metrics in the record are those of the float16 weights that are written.
    """
    samples, embedder, data_hash = load_dataset(data), Sentences(), sha256_of(data / DATASET)
    source, reading = f"{data_hash} by {EFFICIENTNET.sha256}", progress_of(progress, 0.0, FEATURES_READ)
    features = picture_features(samples, open_efficientnet(), run / CACHE, source, reading)
    labels = list(dict.fromkeys(sample.label for sample in samples))
    places = torch.tensor([labels.index(sample.label) for sample in samples])
    gathered = HeadData(samples, features, Words.of(samples, embedder), embedder.embed(labels).half().float(), places)
    head, curve = train_head(gathered, settings, progress_of(progress, FEATURES_READ, 1 - FEATURES_READ))
    halves = {name: tensor.half() for name, tensor in head.state_dict().items()}
    head.load_state_dict({name: tensor.float() for name, tensor in halves.items()})
    record = {
        "hidden": HIDDEN,
        "text_encoder_sha256": embedder.sha256,
        "image_network_sha256": EFFICIENTNET.sha256,
        "data_sha256": data_hash,
        "settings": asdict(settings),
        "parts": {part: part_figures(part, gathered, head) for part in PARTS},
        "best_epoch": max(curve, key=lambda each: each["recall_5"])["epoch"],
        "validation_curve": curve,
        "candidates": labels,
    }
    vectors = {CANDIDATES: gathered.candidates.half(), BANK: gathered.bank(head).half()}
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(save({**halves, **vectors}), out / WEIGHTS)
    write_bytes((json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode(), out / RECORD)
    return record


def part_figures(part: str, data: HeadData, head: Head) -> dict[str, float]:
    """Sizes and metrics of one part of the data, ranked among all candidates and among the part's own."""
    rows = data.rows(part)
    own, places = torch.unique(data.places[rows], return_inverse=True)
    narrow = recall(head, data.features[rows], data.candidates[own], places, data.bank(head))
    return {
        "pictures": len(rows),
        "concepts": len(own),
        "families": len({data.samples[row].family for row in rows}),
        **data.figures(head, rows),
        **{f"{name}_among_own": value for name, value in narrow.items() if name != "cosine"},
    }
