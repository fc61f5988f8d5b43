"""The targets of a student, and whether it reached them: each a ratio with its paired bootstrap interval.

The ratio itself decides; the interval beside it says how certain it is.  NaN does not reach a target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from export.studies.snapfusion.milestones import Milestone, Results, SetFigures
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quality.bootstrap import Interval
from mobile_diffusion.quality.pairing import median_ratio, ratio_of_means, ratio_of_resampled
from mobile_diffusion.quoting import quoted

FIRST = 5
"""The k of R@k: the caption is among the first 5."""
RETRIEVAL, KID, TIMES_FASTER, STEP_FASTER = 0.95, 1.25, 8.0, 2.0
ALL = "all prompts"

Compare = Callable[[Sequence[SetFigures], Sequence[SetFigures]], Interval]


@dataclass(frozen=True)
class Models:
    """The rows that the gates compare, by name."""

    student: str = "student-8"
    teacher: str = "teacher-50"
    undistilled: str = "teacher-8"
    """The teacher with the student's number of steps."""
    wide: str = "teacher-50"
    """The model that the evolution started from."""
    slim: str = "slim"


@dataclass(frozen=True)
class Gate:
    """One ratio and its limit."""

    what: str
    where: str
    """The set of prompts; "" for times."""
    limit: float
    least: bool
    """Whether the ratio must be at least the limit; otherwise at most."""
    ratio: Interval | None
    """None if a row or its times were not measured."""

    @property
    def verdict(self) -> str:
        """ "reached", "not reached" or "not measured"."""
        if self.ratio is None:
            return "not measured"
        value = self.ratio.value
        return "reached" if (value >= self.limit if self.least else value <= self.limit) else "not reached"


def gates(results: Results, models: Models = Models()) -> list[Gate]:
    """All gates; raises ConfigError if the rows were measured on different prompts."""
    student, teacher, plain = (results.find(name) for name in (models.student, models.teacher, models.undistilled))
    names = f"{models.student} / {models.teacher}"
    found = []
    for what, compare, limit, least in (
        (f"cosine, {names}", cosine_ratio, RETRIEVAL, True),
        (f"R@{FIRST}, {names}", recall_ratio, RETRIEVAL, True),
        (f"KID, {names}", kid_ratio, KID, False),
    ):
        found += _by_set(what, limit, least, compare, student, teacher)
    for name, other in ((models.student, student), (models.teacher, teacher)):
        pair = f"{models.undistilled} / {name}"
        found.append(_over_all(f"cosine, {pair}", RETRIEVAL, False, cosine_ratio, plain, other))
        found.append(_over_all(f"KID, {pair}", KID, True, kid_ratio, plain, other))
    picture = f"time of a picture, {models.teacher} / {models.student}"
    found.append(Gate(picture, "", TIMES_FASTER, True, _times(results, teacher, student, "picture")))
    wide, slim = results.find(models.wide), results.find(models.slim)
    step = f"time of a step, {models.wide} / {models.slim}"
    found.append(Gate(step, "", STEP_FASTER, True, _times(results, wide, slim, "denoise")))
    return found


def cosine_ratio(ours: Sequence[SetFigures], theirs: Sequence[SetFigures]) -> Interval:
    """Mean cosine between picture and caption, ours over theirs."""
    return ratio_of_means([each.cosines for each in ours], [each.cosines for each in theirs])


def recall_ratio(ours: Sequence[SetFigures], theirs: Sequence[SetFigures]) -> Interval:
    """Share of pictures whose caption is among the first five, ours over theirs."""
    left, right = ([[float(rank <= FIRST) for rank in each.ranks] for each in side] for side in (ours, theirs))
    return ratio_of_means(left, right)


def kid_ratio(ours: Sequence[SetFigures], theirs: Sequence[SetFigures]) -> Interval:
    """Mean KID over the sets, ours over theirs."""
    values = [[each.kid.value for each in side] for side in (ours, theirs)]
    resamples = [[_numbers(each.kid_resamples) for each in side] for side in (ours, theirs)]
    return ratio_of_resampled(values[0], values[1], resamples[0], resamples[1])


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _by_set(
    what: str, limit: float, least: bool, compare: Compare, ours: Milestone | None, theirs: Milestone | None
) -> list[Gate]:
    """A gate over all prompts, and one per set."""
    found = [_over_all(what, limit, least, compare, ours, theirs)]
    if ours is not None and theirs is not None:
        for left, right in _same_sets(ours, theirs):
            found.append(Gate(what, left.name, limit, least, compare([left], [right])))
    return found


def _over_all(
    what: str, limit: float, least: bool, compare: Compare, ours: Milestone | None, theirs: Milestone | None
) -> Gate:
    if ours is None or theirs is None:
        return Gate(what, ALL, limit, least, None)
    pairs = _same_sets(ours, theirs)
    return Gate(what, ALL, limit, least, compare([left for left, _ in pairs], [right for _, right in pairs]))


def _same_sets(ours: Milestone, theirs: Milestone) -> list[tuple[SetFigures, SetFigures]]:
    """The sets of both rows; raises ConfigError if their prompts, seeds or real pictures differ."""
    pairs = [(each, theirs.find(each.name)) for each in ours.sets]
    same = ours.seed == theirs.seed and len(ours.sets) == len(theirs.sets)
    for left, right in pairs:
        same = same and (left.prompts_sha256, left.references) == (right.prompts_sha256, right.references)
    if not same:
        raise ConfigError(
            f"rows {quoted(ours.name)}, {quoted(theirs.name)}: expected the same prompts and seeds, got others; "
            "measure both again"
        )
    return pairs


def _times(results: Results, ours: Milestone | None, theirs: Milestone | None, what: str) -> Interval | None:
    """Our time over theirs, round by round."""
    found = [None if row is None else results.times_of(row) for row in (ours, theirs)]
    if found[0] is None or found[1] is None:
        return None
    return median_ratio(getattr(found[0], what), getattr(found[1], what))
