"""The runner reads the manifests that every language reads, and refuses those that every language refuses."""

from __future__ import annotations

import json
from typing import Any

from assets.golden.manifests import at, changed
from tests.apps.conftest import golden
from tests.apps.runner.conftest import Ask


def put(ask: Ask, texts: list[str]) -> list[dict[str, Any]]:
    return ask([{"manifest": text} for text in texts])


def test_what_every_language_reads(ask: Ask) -> None:
    cases = golden("manifests.json")["accepted"]
    assert put(ask, [case["text"] for case in cases]) == [{}] * len(cases)


def test_what_every_language_refuses(ask: Ask) -> None:
    cases = golden("manifests.json")["refused"]
    for case, answer in zip(cases, put(ask, [case["text"] for case in cases]), strict=True):
        line = answer["error"]
        assert case["message"] in line and "expected" in line and "\n" not in line, (case["name"], line)


def test_a_size_beyond_64_bits(ask: Ask) -> None:
    texts = [json.dumps(changed(at("files", 0, "size", put=size))) for size in (2**63, 2**70)]
    assert all("size: expected a whole number" in answer["error"] for answer in put(ask, texts))


def test_a_manifest_that_is_nested_very_deep(ask: Ask) -> None:
    (answer,) = put(ask, ["[" * 100_000])
    assert "expected JSON" in answer["error"]
