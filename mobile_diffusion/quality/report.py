"""The metrics of one set of drawn pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality.bootstrap import Interval
from mobile_diffusion.quality.inception import Features, open_inception
from mobile_diffusion.quality.kid import resampled_kid
from mobile_diffusion.quality.retrieval import Retrieval, RetrievalScore, open_retrieval


@dataclass(frozen=True)
class QualityReport:
    """Metrics of drawn pictures, compared with real pictures and with their captions."""

    pictures: int
    """Drawn pictures."""
    references: int
    """Real pictures that they are compared with."""
    kid: Interval
    """Kernel Inception distance to the real pictures; lower is better, 0 for pictures of the same distribution."""
    retrieval: RetrievalScore
    kid_resamples: tuple[float | None, ...]
    """KID per resample, for a paired comparison (pairing.py); None when it is not defined."""


@dataclass(frozen=True)
class Networks:
    """The metric networks, which are opened once for several sets."""

    inception: Features
    retrieval: Retrieval

    @classmethod
    def open(cls) -> Networks:
        """Open both networks; raise ConfigError when the extra `quality` is not installed."""
        return cls(open_inception(), open_retrieval())


def evaluate_pictures(
    images: Tensor,
    captions: Sequence[str],
    reference_images: Tensor,
    networks: Networks | None = None,
    seed: int = 0,
) -> QualityReport:
    """KID and retrieval score of drawn `images` (N, 3, H, W) and their captions, with 95 % bootstrap intervals.

    `reference_images` (M, 3, h, w) are at least two real pictures in any order.  All images are float32 in [0, 1].
    By default the networks are opened here.  `seed` is that of the intervals.  Raises DataError for images of other
    shapes or values, and ConfigError when the extra `quality` is not installed.
    """
    if len(images) < 2 or len(reference_images) < 2:
        raise DataError(f"pictures: expected two or more, drawn and real, got {len(images)}, {len(reference_images)}")
    networks = networks or Networks.open()
    real, drawn = networks.inception(reference_images), networks.inception(images)
    distance, resampled = resampled_kid(real, drawn, seed)
    score = networks.retrieval.score(images, captions, seed)
    defined = tuple(None if math.isnan(value) else value for value in resampled.tolist())
    return QualityReport(len(images), len(reference_images), distance, score, defined)
