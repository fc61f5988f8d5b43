"""k-means on a line against coremltools' exhaustive dynamic programming."""

from __future__ import annotations

import numpy as np
import pytest

from export.compression.kmeans import cluster, histogram, nearest, patterns

GENERATOR = np.random.default_rng(0)
SAMPLES = {
    "normal": GENERATOR.normal(0, 0.02, 30_000),
    "uniform": GENERATOR.uniform(-0.03, 0.03, 60_000),
    "heavy tails": GENERATOR.standard_t(3, 40_000) * 0.02,
    "two humps and zeros": np.concatenate(
        [GENERATOR.normal(0, 0.005, 20_000), GENERATOR.normal(0.3, 0.05, 900), np.zeros(9_000)]
    ),
    "far from zero": GENERATOR.normal(100, 3, 20_000),
    "few": GENERATOR.normal(0, 1, 700),
    "huge": GENERATOR.normal(0, 2e4, 20_000).clip(-65504, 65504),
    "subnormal": GENERATOR.normal(0, 2e-6, 20_000),
}


@pytest.mark.parametrize(
    ("name", "clusters"),
    [(name, clusters) for name in SAMPLES for clusters in (2, 3, 4, 8, 16, 64)]
    + [(name, 256) for name in ("two humps and zeros", "far from zero", "few")],
)
def test_no_error_is_above_that_of_an_exhaustive_search(name: str, clusters: int) -> None:
    from coremltools._deps import _kmeans1d

    found = histogram(SAMPLES[name].astype(np.float16))
    best = _kmeans1d.cluster(found.values, min(clusters, len(found.values)), weights=found.counts)
    centres = np.asarray(best.centroids).astype(np.float16).astype(np.float64)
    error = float(found.counts @ np.square(found.values - centres[np.asarray(best.clusters)]))
    table = cluster(found, clusters)
    assert table.shape == (clusters,) and bool((np.diff(table) >= 0).all())
    assert found.error(table) <= error * (1 + 1e-9)


def test_every_number_gets_its_nearest_entry() -> None:
    values = np.sort(GENERATOR.normal(0, 1, 500))
    table = np.sort(GENERATOR.normal(0, 1, 16))
    distances = np.abs(values[:, None] - table)
    assert np.array_equal(np.abs(values - table[nearest(values, table)]), distances.min(1))


def test_a_histogram_counts_every_number_once() -> None:
    weight = GENERATOR.normal(0, 1, (3, 1 << 19)).astype(np.float16)  # more than are counted at once
    weight[0, :2] = 0.0, -0.0
    found = histogram(weight)
    values, counts = np.unique(weight.astype(np.float64), return_counts=True)
    assert np.array_equal(found.values, values) and np.array_equal(found.counts, counts)
    assert found.energy == pytest.approx(np.square(weight.astype(np.float64)).sum(), rel=1e-12)


@pytest.mark.parametrize("values", [[1.5], [0.0, 2.0], [-1.0, 0.0, 3.0]])
def test_few_values_are_kept_as_they_are(values: list[float]) -> None:
    found = histogram(np.repeat(np.array(values, np.float16), 7))
    table = cluster(found, 4)
    assert table.tolist() == values + values[-1:] * (4 - len(values))
    assert found.error(table) == 0.0


def test_patterns_are_all_of_float16() -> None:
    assert np.array_equal(patterns().astype(np.float16).view(np.uint16)[:0x7C01], np.arange(0x7C01))
