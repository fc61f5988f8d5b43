"""Prompts are read, divided and weighted as the web UI and Compel do (record_published.py ran both)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assets.golden.weighted import COMPEL, WEBUI
from mobile_diffusion.prompts.compel import parse_compel
from mobile_diffusion.prompts.reading import read_prompt
from mobile_diffusion.prompts.weighing import encode_reading
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from tests.mobile_diffusion.prompts.published_encoder import WIDTH, encode

PUBLISHED = json.loads(Path(__file__).with_name("published.json").read_text(encoding="ascii"))


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer.from_folder(Path(__file__).parents[3] / "mobile_diffusion" / "clip_vocabulary", 77)


def run_stage(stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    return {"context": encode(arrays["tokens"])}


def context_of(tokenizer: ClipTokenizer, case: dict[str, Any], syntax: str) -> np.ndarray:
    reading = read_prompt(tokenizer, case["prompt"], syntax, len(case["context"]) // 77)
    return encode_reading(run_stage, reading, False, (WIDTH,))["context"][0]


def test_every_case_is_recorded() -> None:
    assert [case["prompt"] for case in PUBLISHED["webui"]] == list(WEBUI)
    assert [case["prompt"] for case in PUBLISHED["compel"]] == list(COMPEL)


@pytest.mark.parametrize("case", PUBLISHED["webui"], ids=range(len(WEBUI)))
def test_the_web_ui(tokenizer: ClipTokenizer, case: dict[str, Any]) -> None:
    (version,) = read_prompt(tokenizer, case["prompt"], "a1111", len(case["windows"])).versions
    assert [tokens.ids.tolist() for tokens in version.tokens] == [window["ids"] for window in case["windows"]]
    assert version.weights[:, 0].tolist() == [window["weights"] for window in case["windows"]]
    np.testing.assert_allclose(context_of(tokenizer, case, "a1111"), case["context"], rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("case", PUBLISHED["compel"], ids=range(len(COMPEL)))
def test_compel(tokenizer: ClipTokenizer, case: dict[str, Any]) -> None:
    pieces = [[piece.text, pytest.approx(piece.weight, rel=1e-12)] for piece in parse_compel(case["prompt"])]
    assert pieces == case["pieces"]
    np.testing.assert_allclose(context_of(tokenizer, case, "compel"), case["context"], rtol=3e-6, atol=1e-6)
