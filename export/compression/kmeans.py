"""One-dimensional k-means of float16 numbers that minimizes the squared error.

float16 has 65,536 bit patterns, so a weight of any size is a histogram with at most that many values.  In one dimension
clusters are intervals, and cumulative sums give the error of any interval.  Dynamic programming (Wang and Song 2011,
"Ckmeans.1d.dp") finds the best k - 1 boundaries among at most MOST_PLACES candidates, which are spaced like the levels
of the best quantizer of a density (Panter and Dite 1951).  The boundaries are then moved in ever smaller steps until no
joint move helps.  The best of a few such starts is used.  The result was optimal in every comparison with an exhaustive
search (tests, benchmarks/coreml/palettization.py).
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
"""Numbers that are counted at once, to avoid a copy of a whole weight."""
PLACES_PER_CLUSTER, LEAST_CLUSTERS, MOST_PLACES = (16, 20, 26), 32, 2048
"""Number of candidate places for the first boundaries: one start for each of these numbers per cluster, counting at
least LEAST_CLUSTERS clusters, and at most MOST_PLACES in all."""
WIDEST = 6
"""Largest width of a cluster in the first search, in multiples of the average number of places."""
REACH = 24
"""Steps that a boundary may move at once in either direction."""
ROUNDS = 30
"""Most rounds of moves per step size; three or four are usual."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """The distinct values in ascending order, with their counts."""

    values: Floats
    """The values (n,)."""
    counts: Floats
    """The counts (n,), positive whole numbers."""

    @property
    def energy(self) -> float:
        """The sum of all squares."""
        return float(self.counts @ np.square(self.values))

    def error(self, table: Floats) -> float:
        """Return the sum of squared distances to the nearest entry of an ascending table (k,)."""
        return float(self.counts @ np.square(self.values - table[nearest(self.values, table)]))


def histogram(numbers: Halves) -> Histogram:
    """Return the histogram of float16 numbers of any shape; negative zero counts as zero."""
    bits = np.ascontiguousarray(numbers).reshape(-1).view(np.uint16)
    counts = np.zeros(PATTERNS, np.int64)
    for start in range(0, bits.size, PART):
        counts += np.bincount(bits[start : start + PART], minlength=PATTERNS)
    values = patterns()
    found = np.flatnonzero(counts)
    distinct, place = np.unique(values[found], return_inverse=True)
    return Histogram(distinct, np.bincount(place, counts[found], len(distinct)).astype(np.float64))


def patterns() -> Floats:
    """Return the value of every bit pattern of float16, infinities and NaN included: (65536,)."""
    return np.arange(PATTERNS, dtype=np.uint16).view(np.float16).astype(np.float64)


def nearest(values: Floats, table: Floats) -> Places:
    """Return the index of the nearest entry of an ascending table for each value."""
    return np.searchsorted((table[1:] + table[:-1]) / 2, values)


def cluster(found: Histogram, clusters: int) -> Floats:
    """Return the centres of the clusters with the least squared error, rounded to float16, ascending: (clusters,).

    If there are fewer values than clusters, the last centre is repeated.
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
    """Cumulative sums over the first 0, 1, ..., n values, which give the error of any interval."""

    counts: Floats
    values: Floats

    @classmethod
    def of(cls, found: Histogram) -> Sums:
        """Return the sums of a histogram: (n + 1,) each."""
        totals = (np.cumsum(found.counts), np.cumsum(found.counts * found.values))
        return cls(*(np.concatenate([[0.0], total]) for total in totals))

    def gain(self, start: Places, end: Places) -> Floats:
        """Return how much squared error the mean of values start <= i < end saves compared with zero.

        The result is -inf where end < start.
        """
        count = self.counts[end] - self.counts[start]
        total = self.values[end] - self.values[start]
        nothing = np.where(end < start, -np.inf, 0.0)
        return np.divide(np.square(total), count, out=nothing, where=count > 0)

    def means(self, ends: Places) -> Floats:
        """Return the mean of each interval (k,) between ends (k + 1,); for an empty one, the value at its place."""
        count, total = np.diff(self.counts[ends]), np.diff(self.values[ends])
        single = np.minimum(ends[:-1], len(self.counts) - 2)
        alone = (self.values[single + 1] - self.values[single]) / (self.counts[single + 1] - self.counts[single])
        return np.divide(total, count, out=alone, where=count > 0)


def spaced_places(found: Histogram, count: int) -> Places:
    """Return at most count + 1 places from 0 to n, spaced like the levels of the best quantizer.

    The density of levels follows the cube root of the density of numbers.  For histograms with spikes, a tenth of the
    places is spaced evenly over the numbers and a tenth evenly over the distinct values.
    """
    gaps = np.gradient(found.values)
    levels = (np.cbrt(found.counts * np.square(gaps)), found.counts, np.ones_like(gaps))
    shares = [np.concatenate([[0.0], np.cumsum(level)]) / level.sum() for level in levels]
    share = 0.8 * shares[0] + 0.1 * shares[1] + 0.1 * shares[2]
    return np.unique(np.searchsorted(share, np.linspace(0, 1, count + 1)).clip(0, len(gaps)))


def first_ends(found: Histogram, sums: Sums, clusters: int, count: int) -> tuple[Places, Places]:
    """Return the best ends (k + 1,) among `count` spaced places, and the distances (k + 1,) between places there."""
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
    """Return the indices (k + 1,) of the places that separate k clusters, each at most `width` places wide.

    Dynamic programming: best[j, i] = max over d of best[j - 1, i - d] + gain(i - d, i).
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
    """Return the ends that follow from a table of the best widths minus one."""
    ends = [last]
    for widths in taken[::-1]:
        ends.append(ends[-1] - int(widths[ends[-1]]) - 1)
    return np.array(ends[::-1])


def refined(sums: Sums, ends: Places, steps: Places) -> Places:
    """Return ends (k + 1,) after joint moves, with steps that are halved down to single values, until none moves."""
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
    """Return the best ends among those at most REACH steps away, optimized jointly over all boundaries."""
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
