"""The runner's noise and hashes are Python's, bit for bit."""

from __future__ import annotations

import hashlib

from tests.apps.conftest import golden
from tests.apps.runner.conftest import Ask


def test_noise(ask: Ask) -> None:
    cases = golden("noise.json")["gaussian"]
    answers = ask([{"noise": [case["seed"], case["count"], case["tensor"]]} for case in cases])
    assert answers == [case["sha256"] for case in cases]


def test_published_words(ask: Ask) -> None:
    cases = golden("noise.json")["philox"]
    questions = [{"philox": [[int(word, 16) for word in case[name]] for name in ("key", "counter")]} for case in cases]
    assert ask(questions) == [[int(word, 16) for word in case["words"]] for case in cases]


def test_hashes_of_every_length_around_a_block(ask: Ask) -> None:
    texts = ["ab" * length + "c" for length in range(70)] + ["", "x" * 1_000_000]
    assert ask([{"sha256": text} for text in texts]) == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
