"""One figure per row: the quality of its pictures over all sets of prompts, with bootstrap intervals."""

from __future__ import annotations

import math

from export.studies.snapfusion.gates import FIRST
from export.studies.snapfusion.milestones import Milestone
from mobile_diffusion.quality.bootstrap import Interval
from mobile_diffusion.quality.pairing import Sets, ratio_of_means, ratio_of_resampled


def mean_cosine(row: Milestone) -> Interval:
    """Mean cosine between picture and caption."""
    return _mean([each.cosines for each in row.sets])


def mean_recall(row: Milestone) -> Interval:
    """Share of pictures whose caption is among the first five."""
    return _mean([[float(rank <= FIRST) for rank in each.ranks] for each in row.sets])


def mean_kid(row: Milestone) -> Interval:
    """Mean KID over the sets."""
    values = [each.kid.value for each in row.sets]
    resamples = [[math.nan if value is None else value for value in each.kid_resamples] for each in row.sets]
    return ratio_of_resampled(values, [1.0] * len(values), resamples, [[1.0] * len(each) for each in resamples])


def _mean(values: Sets) -> Interval:
    """A mean, computed as a ratio to ones."""
    return ratio_of_means(values, [[1.0] * len(each) for each in values])
