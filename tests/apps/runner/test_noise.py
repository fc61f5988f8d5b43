"""The runner's noise and hashes are Python's, bit for bit."""

from __future__ import annotations

import hashlib
import json
import random

import numpy as np

from mobile_diffusion.noise import gaussian
from tests.apps.runner.conftest import ROOT, Ask

GOLDEN = json.loads((ROOT / "assets" / "golden" / "noise.json").read_text())


def digest(seed: int, count: int, tensor: int = 0) -> str:
    return hashlib.sha256(gaussian(seed, (count,), tensor).astype("<f4").tobytes()).hexdigest()


def test_golden_noise(ask: Ask) -> None:
    cases = GOLDEN["gaussian"]
    answers = ask([{"noise": [case["seed"], int(np.prod(case["shape"])), 0]} for case in cases])
    assert answers == [case["sha256"] for case in cases]


def test_published_words(ask: Ask) -> None:
    cases = GOLDEN["philox"]
    questions = [{"philox": [[int(word, 16) for word in case[name]] for name in ("key", "counter")]} for case in cases]
    assert ask(questions) == [[int(word, 16) for word in case["words"]] for case in cases]


def test_many_seeds_counts_and_tensors(ask: Ask) -> None:
    draw = random.Random(9)
    edges = [0, 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
    cases = [
        (seed, draw.choice((1, 3, 4, 105, 2048)), draw.choice((0, 1, 2, 50)))
        for seed in (*edges, *(draw.randrange(2**64) for _ in range(300)))
    ]
    answers = ask([{"noise": [str(seed), count, tensor]} for seed, count, tensor in cases])
    assert answers == [digest(*case) for case in cases]


def test_hashes_of_every_length_around_a_block(ask: Ask) -> None:
    texts = ["ab" * length + "c" for length in range(70)] + ["", "x" * 1_000_000]
    assert ask([{"sha256": text} for text in texts]) == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
