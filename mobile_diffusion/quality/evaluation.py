"""A whole evaluation: draws every set of prompts, measures the pictures, and returns them for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mobile_diffusion.data import Sample, load_image
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.progress import Progress
from mobile_diffusion.quality.decoder_quality import DecoderQuality, Reconstruct, decoder_quality
from mobile_diffusion.quality.diversity import Diversity, diversity
from mobile_diffusion.quality.drawer import Drawer, Tally, draw_all
from mobile_diffusion.quality.images import stack_pictures
from mobile_diffusion.quality.prompts import SETS, PromptSet
from mobile_diffusion.quality.report import Networks, QualityReport, evaluate_pictures
from mobile_diffusion.quality.retrieval import RetrievalScore
from mobile_diffusion.training.lpips import Lpips

DECODER_PICTURES = 64


@dataclass(frozen=True)
class EvaluationSettings:
    """How many pictures are drawn, and with which seeds."""

    count: int = 48
    """Prompts per set."""
    seed: int = 0
    """Seed of the choice of prompts and of the intervals; picture i of a set is drawn with seed + i."""
    seeds: int = 4
    """Pictures per prompt for diversity."""
    diversity_prompts: int = 12
    """Prompts for diversity: the first of the training captions."""

    def __post_init__(self) -> None:
        for name in ("count", "seeds", "diversity_prompts"):
            if not getattr(self, name) >= 2:
                raise ConfigError(f"{name}: expected 2 or more, got {getattr(self, name)}")
        if self.seed < 0:
            raise ConfigError(f"seed: expected 0 or more, got {self.seed}")

    def pictures(self, sets: Sequence[PromptSet]) -> int:
        """The number of pictures to draw."""
        return sum(len(each.samples) for each in sets) + (self.seeds - 1) * self.prompts_of(sets[0])

    def prompts_of(self, training: PromptSet) -> int:
        """The number of prompts for diversity."""
        return min(self.diversity_prompts, len(training.samples))


@dataclass(frozen=True)
class SetReport:
    """The metrics of one set of prompts."""

    name: str
    meaning: str
    quality: QualityReport
    real: RetrievalScore
    """Retrieval score of the real pictures of the same prompts, as the upper reference."""


@dataclass(frozen=True)
class Evaluation:
    """All metrics of one model."""

    sets: tuple[SetReport, ...]
    diversity: Diversity
    """Diversity for training captions."""
    decoder: DecoderQuality | None
    """Quality of reconstructed held-out pictures; None when the model has no encoder."""


@dataclass(frozen=True)
class DrawnSet:
    """The drawn pictures of a set beside the real ones."""

    name: str
    captions: tuple[str, ...]
    drawn: Tensor
    """float32 (N, 3, H, W) in [0, 1]."""
    real: Tensor
    """float32 (N, 3, h, w) in [0, 1]: the pictures that the captions belong to."""
    ranks: tuple[int, ...]
    """Rank of each drawn picture's own caption; 1 is the best."""


def load_pictures(samples: Sequence[Sample]) -> Tensor:
    """Load real pictures as float32 (N, 3, H, W) in [0, 1]."""
    return stack_pictures([load_image(sample) for sample in samples])


def evaluate(
    draw: Drawer,
    sets: Sequence[PromptSet],
    networks: Networks,
    settings: EvaluationSettings,
    progress: Progress,
    decoder: tuple[Reconstruct, Lpips] | None = None,
) -> tuple[Evaluation, list[DrawnSet]]:
    """Draw and measure every set.

    `decoder` is the autoencoder's reconstruction and the LPIPS network to measure it with; None leaves it out.
    """
    tally = Tally(progress, settings.pictures(sets))
    reports, pictures = [], []
    for chosen in sets:
        seeds = range(settings.seed, settings.seed + len(chosen.samples))
        drawn = draw_all(draw, chosen.captions, seeds, tally, chosen.name)
        tally.say(f"measuring {chosen.name}")
        report, real = _measure(chosen, drawn, networks, settings.seed)
        reports.append(report)
        pictures.append(DrawnSet(chosen.name, chosen.captions, drawn, real, report.quality.retrieval.ranks))
    spread = _diversity(draw, sets[0], pictures[0].drawn, networks, settings, tally)
    tally.say("measuring the decoder")
    quality = _decoder(*decoder, sets, settings.seed) if decoder is not None else None
    return Evaluation(tuple(reports), spread, quality), pictures


def _measure(chosen: PromptSet, drawn: Tensor, networks: Networks, seed: int) -> tuple[SetReport, Tensor]:
    """Measure a set; return its metrics and the real pictures of its prompts."""
    references = load_pictures(chosen.references)
    real = references[: len(drawn)]
    quality = evaluate_pictures(drawn, chosen.captions, references, networks, seed)
    ceiling = networks.retrieval.score(real, chosen.captions, seed)
    return SetReport(chosen.name, SETS[chosen.name], quality, ceiling), real


def _diversity(
    draw: Drawer, training: PromptSet, drawn: Tensor, networks: Networks, settings: EvaluationSettings, tally: Tally
) -> Diversity:
    """Measure diversity on the first prompts: their pictures drawn so far, and more with other seeds."""
    count = settings.prompts_of(training)
    prompts, rounds = training.captions[:count], [drawn[:count]]
    for extra in range(1, settings.seeds):
        first = settings.seed + extra * len(training.samples)
        rounds.append(draw_all(draw, prompts, range(first, first + count), tally, "other seeds"))
    features = networks.inception(torch.cat(rounds)).reshape(settings.seeds, count, -1)
    return diversity(features.transpose(0, 1), settings.seed)


def _decoder(reconstruct: Reconstruct, lpips: Lpips, sets: Sequence[PromptSet], seed: int) -> DecoderQuality:
    """Measure reconstructions of held-out pictures, which are new to the autoencoder, else of training pictures."""
    chosen = next((each for each in sets if each.name == "held-out"), sets[0])
    return decoder_quality(reconstruct, load_pictures(chosen.references[:DECODER_PICTURES]), lpips, seed)
