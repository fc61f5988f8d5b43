"""Noise against Random123's known answers and a scalar rewrite of Box-Muller."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assets.golden.noise import PUBLISHED
from mobile_diffusion.errors import ConfigError, PromptError
from mobile_diffusion.noise import MAX_SEED, block_counters, gaussian, philox


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), PUBLISHED)
def test_philox_known_answers(counter: str, key: str, answer: str) -> None:
    low, high = words(key)
    result = philox((low, high), np.array([words(counter)], dtype=np.uint32))
    assert result.tolist() == [words(answer)]


def test_philox_is_the_same_alone_and_in_a_batch() -> None:
    counters = np.array([words(counter) for counter, _, _ in PUBLISHED], dtype=np.uint32)
    together = philox((5, 6), counters)
    alone = [philox((5, 6), counters[i : i + 1])[0] for i in range(len(counters))]
    assert np.array_equal(together, np.stack(alone))


def test_block_index_is_64_bits_low_word_first() -> None:
    counters = block_counters(3, first=2**32 - 2)
    assert counters.tolist() == [[2**32 - 2, 0, 0, 0], [2**32 - 1, 0, 0, 0], [0, 1, 0, 0]]


def test_gaussian_equals_scalar_box_muller_of_the_key_words() -> None:
    seed = 0x0123456789ABCDEF
    noise = gaussian(seed, (9,))
    block = philox((0x89ABCDEF, 0x01234567), np.array([[1, 0, 0, 0]], dtype=np.uint32))[0]
    u1, u2, u3, u4 = ((int(word) + 0.5) / 2**32 for word in block)
    expected = [
        math.sqrt(-2 * math.log(u1)) * math.cos(2 * math.pi * u2),
        math.sqrt(-2 * math.log(u1)) * math.sin(2 * math.pi * u2),
        math.sqrt(-2 * math.log(u3)) * math.cos(2 * math.pi * u4),
        math.sqrt(-2 * math.log(u3)) * math.sin(2 * math.pi * u4),
    ]
    assert noise[4:8] == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_moments() -> None:
    noise = gaussian(11, (200_000,)).astype(np.float64)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.var() - 1) < 0.015
    assert abs((noise**3).mean()) < 0.03
    assert abs((noise**4).mean() - 3) < 0.1
    assert abs(np.mean(noise[:-1] * noise[1:])) < 0.01


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 7])
def test_an_odd_number_of_elements_is_a_prefix(count: int) -> None:
    assert np.array_equal(gaussian(3, (count,)), gaussian(3, (8,))[:count])


def test_filled_in_c_order_in_float32() -> None:
    noise = gaussian(3, (2, 3, 5))
    assert noise.dtype == np.float32 and noise.flags["C_CONTIGUOUS"]
    assert np.array_equal(noise.reshape(-1), gaussian(3, (30,)))


def test_seeds_differ_in_either_half_of_the_key() -> None:
    first = {gaussian(seed, (4,)).tobytes() for seed in (0, 1, 2**32, 2**32 + 1, MAX_SEED)}
    assert len(first) == 5


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "7", None])
def test_seeds_out_of_range_are_refused(seed: object) -> None:
    with pytest.raises(PromptError, match=rf"seed: expected an integer from 0 to {MAX_SEED}, got"):
        gaussian(seed, (4,))  # type: ignore[arg-type]


def test_numpy_integers_are_seeds() -> None:
    assert np.array_equal(gaussian(np.uint64(7), (4,)), gaussian(7, (4,)))  # type: ignore[arg-type]


def test_negative_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match="noise shape"):
        gaussian(0, (2, -1))
