"""Tables of pairs against scikit-learn's k-means, with coremltools' settings."""

from __future__ import annotations

import numpy as np
import pytest

from export.compression.vectors import palettize_vectors

GENERATOR = np.random.default_rng(1)


@pytest.mark.parametrize(("shape", "axis"), [((64, 48), 0), ((48, 64), 1), ((32, 16, 3, 3), 0)])
@pytest.mark.parametrize("bits", [4, 6])
def test_the_error_is_that_of_scikit_learn_or_less(shape: tuple[int, ...], axis: int, bits: int) -> None:
    from sklearn.cluster import KMeans

    weight = GENERATOR.normal(0, 0.1, shape).astype(np.float16)
    found = palettize_vectors(weight, axis, bits, 2)
    pairs = np.moveaxis(weight, axis, -1).reshape(-1, 2).astype(np.float64)
    fitted = KMeans(2**bits, init="k-means++", tol=1e-2, n_init=1, random_state=0).fit(pairs)
    assert found.noise <= 1.02 * fitted.inertia_


def test_indices_and_tables_give_the_promised_error() -> None:
    weight = GENERATOR.normal(0, 0.1, (10, 6, 3)).astype(np.float16)
    found = palettize_vectors(weight, 1, 4, 2)
    decoded = np.empty_like(weight)
    for place in np.ndindex(found.codes.shape):
        first, pair, last = place
        decoded[first, 2 * pair : 2 * pair + 2, last] = found.table[found.codes[place]]
    error = np.square(decoded.astype(np.float64) - weight).sum()
    assert found.codes.shape == (10, 3, 3) and found.noise == pytest.approx(error, rel=1e-5)
    assert palettize_vectors(weight, 1, 4, 2).noise == found.noise, "the same seed, the same tables"


def test_centres_without_points_do_no_harm() -> None:
    weight = np.repeat(np.array([[1.0], [2.0]], np.float16), 64, 1)
    assert palettize_vectors(weight, 0, 4, 2).noise == 0.0
