"""Gaussian noise that is the same in Python, Swift, Kotlin, C++ and TypeScript.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) is a counter-based generator: block i
of seed s is a pure function of (s, i), so the generator has no state and blocks can be computed in any order.  The
Box-Muller transform converts random words to normal deviates in float64, which are rounded once to float32.  Torch's
generators are not used, because their numbers cannot be reproduced outside torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.errors import ConfigError, PromptError
from mobile_diffusion.quoting import quoted

MAX_SEED = 2**64 - 1

_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW_WORD = 0xFFFFFFFF


def check_seed(seed: int) -> int:
    """Return `seed` as an int; raise PromptError unless it is an integer in 0..2**64-1."""
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= int(seed) <= MAX_SEED:
        raise PromptError(f"seed: expected an integer from 0 to {MAX_SEED}, got {quoted(seed)}; give such a seed")
    return int(seed)


def philox(key: tuple[int, int], counter: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Compute the random words uint32 (n, 4) of each counter by Philox4x32-10.

    `key` is two 32-bit words; `counter` is uint32 (n, 4), least significant word first.
    """
    c0, c1, c2, c3 = np.asarray(counter, dtype=np.uint64).T
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]  # 32 x 32 bits fit in 64
        c0, c1, c2, c3 = (
            (product1 >> 32) ^ c1 ^ np.uint64(k0),
            product1 & _LOW_WORD,
            (product0 >> 32) ^ c3 ^ np.uint64(k1),
            product0 & _LOW_WORD,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW_WORD, (k1 + _WEYL[1]) & _LOW_WORD
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def block_counters(count: int, first: int = 0) -> NDArray[np.uint32]:
    """Return the counters of blocks first..first+count-1: uint32 (count, 4), a 64-bit index and two zero words."""
    index = np.arange(count, dtype=np.uint64) + np.uint64(first)
    counters = np.zeros((count, 4), dtype=np.uint32)
    counters[:, 0] = index & _LOW_WORD
    counters[:, 1] = index >> 32
    return counters


def box_muller(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Convert pairs of words uint32 (n, 2) to pairs of normal deviates float64 (n, 2)."""
    uniform = (words.astype(np.float64) + 0.5) / 2.0**32  # never 0 and never 1
    radius = np.sqrt(-2.0 * np.log(uniform[:, 0]))
    angle = 2.0 * math.pi * uniform[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def gaussian(seed: int, shape: Sequence[int], tensor: int = 0) -> NDArray[np.float32]:
    """Return standard normal noise float32 of `shape`, filled in C order; a seed always returns the same noise.

    A sampler that adds noise in its steps takes `tensor` 1, 2, ... of the same seed: each starts at the first block
    that the previous one has not used.  Raises PromptError for a seed outside 0..2**64-1, ConfigError for a negative
    dimension or a negative `tensor`.
    """
    seed = check_seed(seed)
    if any(size < 0 for size in shape):
        raise ConfigError(f"noise shape: expected sizes of 0 or more, got {tuple(shape)}")
    if tensor < 0:
        raise ConfigError(f"noise tensor: expected 0 or more, got {tensor}")
    count = math.prod(shape)
    blocks = -(-count // 4)
    words = philox((seed & _LOW_WORD, seed >> 32), block_counters(blocks, tensor * blocks))
    deviates = box_muller(words.reshape(-1, 2)).reshape(-1)
    return deviates[:count].astype(np.float32).reshape(tuple(shape))
