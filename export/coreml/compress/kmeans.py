"""k-means of float16 numbers on a line, at the least squared error there is.

float16 has 65,536 bit patterns, so a weight of any size is a histogram of at most so many values with counts.  On a
line clusters are intervals, and the error of an interval follows from sums over its ends; the best k - 1 boundaries
are found by dynamic programming (Wang and Song 2011, "Ckmeans.1d.dp"), first on some thousand places, spaced as the
best quantizer of a density would space its levels (Panter and Dite 1951), then moved on ever finer places until no
joint move of all boundaries helps; the best of a few such starts is taken.  It was optimal wherever it was compared
with an exhaustive search (tests, benchmarks/coreml/palettization.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Halves = NDArray[np.float16]

PATTERNS = 2**16
PART = 2**20
"""Numbers that are counted at once, so that no copy of a whole weight is made."""
PLACES_PER_CLUSTER, LEAST_CLUSTERS, MOST_PLACES = (16, 20, 26), 32, 2048
"""Places among which the first boundaries are chosen: several numbers of them, as far as they are not too many, and
for few clusters as many as for 32."""
WIDEST = 6
"""Clusters that are first tried are at most so many times as wide, in places, as the average."""
REACH = 24
"""Places on either side of a boundary to which it may move at once."""
ROUNDS = 30
"""Moves on places of one fineness; three or four are usual."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Distinct values in ascending order, with how often each occurs."""

    values: Floats
    """(n,)."""
    counts: Floats
    """(n,), whole numbers above zero."""

    @property
    def energy(self) -> float:
        """The sum of all squares."""
        return float(self.counts @ np.square(self.values))

    def error(self, table: Floats) -> float:
        """The sum of squared distances to the nearest entry of an ascending table (k,)."""
        return float(self.counts @ np.square(self.values - table[nearest(self.values, table)]))


def histogram(numbers: Halves) -> Histogram:
    """Count float16 numbers of any shape; negative zero counts as zero."""
    bits = np.ascontiguousarray(numbers).reshape(-1).view(np.uint16)
    counts = np.zeros(PATTERNS, np.int64)
    for start in range(0, bits.size, PART):
        counts += np.bincount(bits[start : start + PART], minlength=PATTERNS)
    values = patterns()
    found = np.flatnonzero(counts)
    distinct, place = np.unique(values[found], return_inverse=True)
    return Histogram(distinct, np.bincount(place, counts[found], len(distinct)).astype(np.float64))


def patterns() -> Floats:
    """The value of every bit pattern of float16, infinities and NaN included: (65536,)."""
    return np.arange(PATTERNS, dtype=np.uint16).view(np.float16).astype(np.float64)


def nearest(values: Floats, table: Floats) -> Places:
    """Index of the nearest entry of an ascending table for each value."""
    return np.searchsorted((table[1:] + table[:-1]) / 2, values)


def cluster(found: Histogram, clusters: int) -> Floats:
    """Centres of the clusters with the least squared error, in float16's values, ascending: (clusters,).

    Where there are fewer values than clusters the last one is repeated.
    """
    if len(found.values) <= clusters:
        return np.pad(found.values, (0, clusters - len(found.values)), "edge")
    sums = Sums.of(found)
    starts = [count * max(clusters, LEAST_CLUSTERS) for count in PLACES_PER_CLUSTER]
    starts = starts[:1] + [count for count in starts[1:] if count <= MOST_PLACES]
    tried = [refined(sums, *first_ends(found, sums, clusters, count)) for count in starts]
    centres = sums.means(max(tried, key=lambda ends: float(sums.gain(ends[:-1], ends[1:]).sum())))
    return np.sort(centres.astype(np.float16).astype(np.float64))


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the first 0, 1, ..., n values, by which any interval is judged at once."""

    counts: Floats
    values: Floats

    @classmethod
    def of(cls, found: Histogram) -> Sums:
        """Of a histogram: (n + 1,) each."""
        totals = (np.cumsum(found.counts), np.cumsum(found.counts * found.values))
        return cls(*(np.concatenate([[0.0], total]) for total in totals))

    def gain(self, start: Places, end: Places) -> Floats:
        """How much squared error the mean of values start <= i < end saves against zero; -inf where end < start."""
        count = self.counts[end] - self.counts[start]
        total = self.values[end] - self.values[start]
        nothing = np.where(end < start, -np.inf, 0.0)
        return np.divide(np.square(total), count, out=nothing, where=count > 0)

    def means(self, ends: Places) -> Floats:
        """The mean of each interval (k,) between ends (k + 1,); of an empty one, the value where it is."""
        count, total = np.diff(self.counts[ends]), np.diff(self.values[ends])
        single = np.minimum(ends[:-1], len(self.counts) - 2)
        alone = (self.values[single + 1] - self.values[single]) / (self.counts[single + 1] - self.counts[single])
        return np.divide(total, count, out=alone, where=count > 0)


def spaced_places(found: Histogram, count: int) -> Places:
    """At most count + 1 places from 0 to n, dense where the best quantizer's levels are.

    Levels lie as the cube root of the density; a tenth goes by numbers and a tenth by values, for histograms with
    spikes.
    """
    gaps = np.gradient(found.values)
    levels = (np.cbrt(found.counts * np.square(gaps)), found.counts, np.ones_like(gaps))
    shares = [np.concatenate([[0.0], np.cumsum(level)]) / level.sum() for level in levels]
    share = 0.8 * shares[0] + 0.1 * shares[1] + 0.1 * shares[2]
    return np.unique(np.searchsorted(share, np.linspace(0, 1, count + 1)).clip(0, len(gaps)))


def first_ends(found: Histogram, sums: Sums, clusters: int, count: int) -> tuple[Places, Places]:
    """The best ends (k + 1,) among so many spaced places, and the distances (k + 1,) of places there."""
    places = spaced_places(found, count)
    last = len(places) - 1
    if last < clusters:
        places, last = np.arange(len(found.values) + 1), len(found.values)
    width = min(WIDEST * max(last // clusters, 1), last)
    chosen = best_ends(sums, places, clusters, width)
    while width < last and bool((np.diff(chosen) == width).any()):
        width = min(2 * width, last)
        chosen = best_ends(sums, places, clusters, width)
    steps = np.pad(np.diff(places), 1, constant_values=1)
    return places[chosen], np.maximum(steps[chosen], steps[chosen + 1])


def best_ends(sums: Sums, places: Places, clusters: int, width: int) -> Places:
    """Dynamic programming: indices (k + 1,) of places that part k clusters, each at most `width` places wide.

    best[j, i] = max over d of best[j - 1, i - d] + gain(i - d, i).
    """
    last = len(places) - 1
    end, step = np.arange(last + 1)[:, None], np.arange(1, width + 1)[None]
    gains = sums.gain(places[np.maximum(end - step, 0)], places[end])  # (last + 1, width)
    gains[end < step] = -np.inf
    padded = np.full(width + last + 1, -np.inf)
    padded[width] = 0.0  # no cluster reaches place 0
    earlier = np.lib.stride_tricks.sliding_window_view(padded, width)[: last + 1, ::-1]  # [i, d - 1] -> best[i - d]
    taken = np.empty((clusters, last + 1), np.int32)
    for number in range(clusters):
        total = earlier + gains
        taken[number] = total.argmax(1)
        padded[width:] = np.take_along_axis(total, taken[number][:, None].astype(np.int64), 1)[:, 0]
    return walked_back(taken, last)


def walked_back(taken: NDArray[np.int32], last: int) -> Places:
    """The ends that a table of best widths (less one) leads to."""
    ends = [last]
    for widths in taken[::-1]:
        ends.append(ends[-1] - int(widths[ends[-1]]) - 1)
    return np.array(ends[::-1])


def refined(sums: Sums, ends: Places, steps: Places) -> Places:
    """Move ends (k + 1,) jointly, by steps that halve down to single values, until they stay."""
    while True:
        steps = np.maximum(steps // 2, 1)
        for _ in range(ROUNDS):
            moved = best_moves(sums, ends, steps)
            if np.array_equal(moved, ends):
                break
            ends = moved
        if bool((steps == 1).all()):
            return ends


def best_moves(sums: Sums, ends: Places, steps: Places) -> Places:
    """The best ends among those up to REACH steps away, found for all boundaries at once."""
    places = (ends[:, None] + steps[:, None] * np.arange(-REACH, REACH + 1)).clip(0, ends[-1])  # (k + 1, places)
    places[0], places[-1] = 0, ends[-1]
    gains = sums.gain(places[:-1, :, None], places[1:, None, :])  # (k, from, to)
    best = np.zeros(places.shape[1])
    taken = np.empty(places.shape, np.int64)
    for number, gain in enumerate(gains, 1):
        total = best[:, None] + gain
        taken[number] = total.argmax(0)
        best = total.max(0)
    chosen = [REACH]
    for row in taken[:0:-1]:
        chosen.append(row[chosen[-1]])
    return np.take_along_axis(places, np.array(chosen[::-1])[:, None], 1)[:, 0]
