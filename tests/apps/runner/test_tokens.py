"""The runner's tokenizers: golden prompts, every block of Unicode against Python's, files that are no tokenizer."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from mobile_diffusion.tokenization.tokenizer import MAX_CHARACTERS, open_tokenizer
from tests.apps.conftest import GOLDEN, ROOT, TOKENS, golden
from tests.apps.runner.conftest import SOURCE, Ask
from tests.prompts import scripts

EMOJI = ROOT / "assets" / "emoji" / "tokenizer.json"


def encode(ask: Ask, values: dict[str, Any], prompts: list[str]) -> list[dict[str, Any]]:
    """What the runner makes of prompts with the tokenizer of a golden file."""
    opening = {"tokenizer": [values["kind"], values["max_tokens"], str(GOLDEN / values["tokenizer"])]}
    opened, *answers = ask([opening, *({"prompt": prompt} for prompt in prompts)])
    assert opened == {}
    return answers


@pytest.mark.parametrize("name", TOKENS)
def test_golden_prompts(name: str, ask: Ask) -> None:
    values = golden(name)
    cases, length = values["cases"], values["max_tokens"]
    for case, answer in zip(cases, encode(ask, values, [case["prompt"] for case in cases]), strict=True):
        count = len(case["ids"])
        padding = [values["padding"]] * (length - count)
        expected = {"ids": case["ids"] + padding, "mask": [1] * count + [0] * (length - count)}
        assert answer == expected, ascii(case["prompt"])
    refused = values["refused"]
    for case, answer in zip(refused, encode(ask, values, [case["prompt"] for case in refused]), strict=True):
        assert case["message"] in answer["error"]


@pytest.mark.parametrize("name", TOKENS)
def test_ids_are_pythons_in_every_block_of_unicode(name: str, ask: Ask) -> None:
    values = golden(name)
    reference = open_tokenizer(values["kind"], GOLDEN / values["tokenizer"], values["max_tokens"])
    texts = [*scripts(), "w" * 20_000]
    for text, answer in zip(texts, encode(ask, values, texts), strict=True):
        tokens = reference.encode(text)
        assert answer == {"ids": tokens.ids.tolist(), "mask": tokens.mask.tolist()}, ascii(text)


def test_the_longest_prompt(ask: Ask) -> None:
    _, long, longest = ask(
        [
            {"tokenizer": ["wordpiece", 24, str(EMOJI)]},
            {"prompt": "a" * (MAX_CHARACTERS + 1)},
            {"prompt": "a" * MAX_CHARACTERS},
        ]
    )
    assert "at most 1,000,000 characters, got 1000001" in long["error"]
    assert longest["ids"][:4] == [101, 100, 102, 0]


def edited(change: Any) -> str:
    definition = json.loads(EMOJI.read_text(encoding="utf-8"))
    change(definition)
    return json.dumps(definition)


FOREIGN: dict[str, str] = {
    "not JSON": "hello",
    "a list": "[]",
    "no model": "{}",
    "byte pairs": edited(lambda values: values["model"].update(type="BPE")),
    "cased": edited(lambda values: values["normalizer"].update(lowercase=False)),
    "no end": edited(lambda values: (values["model"]["vocab"].pop("[SEP]"), values["added_tokens"].pop(3))),
    "a token as a word": edited(lambda values: values["added_tokens"][0].update(single_word=True)),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_tokenizer_is_refused_in_one_line(name: str, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(FOREIGN[name])
    (answer,) = ask([{"tokenizer": ["wordpiece", 24, str(tmp_path / "tokenizer.json")]}])
    assert "expected" in answer["error"] and "\n" not in answer["error"]


def test_a_kind_from_the_future_is_refused(ask: Ask) -> None:
    (answer,) = ask([{"tokenizer": ["unigram", 24, str(EMOJI)]}])
    assert "wordpiece or clip-bpe, got 'unigram'; update" in answer["error"]


def test_the_tables_are_those_of_the_installed_library() -> None:
    made = runpy.run_path(str(SOURCE / "make_unicode_tables.py"))["source"]()
    assert made == (SOURCE / "src" / "unicode_tables.cpp").read_text(encoding="ascii")
