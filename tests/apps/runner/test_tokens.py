"""The C++ runner's tokenizers: every block of Unicode against Python's, files that are no tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mobile_diffusion.tokenization.tokenizer import MAX_CHARACTERS, open_tokenizer
from tests.apps.conftest import ROOT
from tests.apps.golden import GOLDEN, TOKENS, golden
from tests.apps.runner.probe import ask, encode
from tests.prompts import scripts

pytestmark = pytest.mark.usefixtures("built")
EMOJI = ROOT / "assets" / "emoji" / "tokenizer.json"


@pytest.mark.parametrize("name", TOKENS)
def test_ids_are_pythons_in_every_block_of_unicode(name: str) -> None:
    values = golden(name)
    reference = open_tokenizer(values["kind"], GOLDEN / values["tokenizer"], values["max_tokens"])
    texts = [*scripts(), "w" * 20_000]
    for text, answer in zip(texts, encode(ask, values, texts), strict=True):
        tokens = reference.encode(text)
        assert (answer["ids"], answer["mask"]) == (tokens.ids.tolist(), tokens.mask.tolist()), ascii(text)


def test_the_longest_prompt() -> None:
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
def test_a_foreign_tokenizer_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(FOREIGN[name])
    (answer,) = ask([{"tokenizer": ["wordpiece", 24, str(tmp_path / "tokenizer.json")]}])
    assert "expected" in answer["error"] and "\n" not in answer["error"]


def test_a_kind_from_the_future_is_refused() -> None:
    (answer,) = ask([{"tokenizer": ["unigram", 24, str(EMOJI)]}])
    assert "wordpiece, clip-bpe or clip-bpe-pair, got 'unigram'; update" in answer["error"]
