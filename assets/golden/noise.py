"""Noise of many seeds by the reference generator, beside the words that Random123 publishes for Philox."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from mobile_diffusion.noise import MAX_SEED, gaussian

PUBLISHED = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)
"""Counter, key and answer, as in Random123's file kat_vectors."""
EDGES = (0, 1, 7, 2**31, 2**32 - 1, 2**32, 2**63, MAX_SEED)
"""Both halves of the key, and where a signed integer of 32 or 64 bits ends."""
COUNTS = (1, 2, 3, 4, 105, 1024, 2048)
"""Fewer than a block, one that is no multiple of it, and latents in use."""
TENSORS = (0, 1, 2, 50)
SEEDS = 300


def noise_file() -> dict[str, Any]:
    """The content of noise.json."""
    draw = random.Random(9)
    cases = [(seed, count, tensor) for seed in EDGES for count in (4, 105) for tensor in (0, 3)]
    cases += [(draw.randrange(2**64), draw.choice(COUNTS), draw.choice(TENSORS)) for _ in range(SEEDS)]
    cases.append((42, 4 * 64 * 64, 0))
    return {
        "philox": [
            {"counter": counter.split(), "key": key.split(), "words": words.split()}
            for counter, key, words in PUBLISHED
        ],
        "gaussian": [_case(*case) for case in cases],
    }


def _case(seed: int, count: int, tensor: int) -> dict[str, Any]:
    noise = gaussian(seed, (count,), tensor).astype("<f4")
    digest = hashlib.sha256(noise.tobytes()).hexdigest()
    return {"seed": str(seed), "tensor": tensor, "count": count, "sha256": digest}
