"""The runner's tokenizers against Python's, on golden prompts and thousands of made ones; the tables they share."""

from __future__ import annotations

import json
import random
import runpy
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import AddedToken

from mobile_diffusion.clip_tokenizer import ClipTokenizer
from mobile_diffusion.tokenizer import MAX_CHARACTERS, Tokenizer, WordPieceTokenizer
from tests.apps.runner.conftest import CLIP, ROOT, SOURCE, Ask
from tests.prompts import scripts

EMOJI = ROOT / "assets" / "emoji" / "tokenizer.json"
GOLDEN = ROOT / "assets" / "golden" / "tokens.json"
LENGTH = 77
COLLECTED = [
    "",
    " ",
    "a red apple, 3d",
    "don't can't we'll they've I'm he'd it's you're rock'n'roll 'tis O'Neill's DON'T SHOUT'S",
    "!!! ??? ... ?!?! ---- ____ ((()))) [[]] {} <> <|> ||| \\ / ~~ `` ^^ $$ %% && ** ++ == ;; ::",
    "<|endoftext|> <|ENDOFTEXT|>!<|StartOfText|>. <|endoftext <|startoftext|>x",
    "[MASK] a [SEP] cat [sep][CLS][PAD] [UNK]",
    "naïve cafe\u0301 Ångström Zoë İstanbul ISTANBUL ıi straße ǅ ﬁ ﬃ Ǆ ẞ ς Σ ΌΔΟΣ",
    "e\u0301\u0302\u0303 q\u0323\u0307 q\u0307\u0323 \u0301\u0301 \u1100\u1161\u11a8 각 \u212b \u2126 \u0958 \u0344",
    "tab\tline\nreturn\r\nfeed\x0c\x0b nel\x85 nbsp\xa0 ogham\u1680 ls\u2028ps\u2029 wide\u3000 zw\u200b \ufeff",
    "control \x01\x02\x1b\x7f\x80\x9f \ufffd \ufffe \uffff \U0010ffff \ue000 \u202eleft\u202c soft\u00adhyphen",
    "👩‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 ❤️‍🔥 👍🏽 1️⃣ 🇩🇪🇫🇷 🏴\U000e0067\U000e0062\U000e007f",
    "красное яблоко, κόκκινο μήλο, 红苹果, 赤いりんご、リンゴ, 빨간 사과, تفاحة حمراء, תפוח אדום, लाल सेब, แอปเปิลสีแดง",
    "ቀይ ፖም წითელი ვაშლი կարմիր խնձոր ᚠᚢᚦ 𐌰𐌱 𝒜𝓫 𓀀 ꙮ ཨོཾ ᓀᐦ ⴰⵣ \U0002f800 \uf900",
    "antidisestablishmentarianism" * 4,
    "x" * 101,
    "x" * 100,
    "a " * 200,
    "苹果" * 100,
    "w" * 20_000,
]
PIECES = (*" \t\n\xa0'!.,?-_&<>|1٣½aBzéßİσ", "'s", "'LL", "<|endoftext|>", "[MASK]", "the", "photo", "\u0301", "\u200d")


def mixtures(count: int) -> list[str]:
    """Words, spaces, punctuation, special tokens, marks and characters of all scripts, joined at random."""
    draw = random.Random(5)

    def piece() -> str:
        if draw.random() < 0.6:
            return draw.choice(PIECES)
        first, end = draw.choice(((1, 0x3100), (0x300, 0x370), (0xAC00, 0xD7A4)))
        return chr(draw.randrange(first, end))

    return ["".join(piece() for _ in range(draw.choice((1, 2, 5, 13, 40)))) for _ in range(count)]


def prompts() -> list[str]:
    return [*COLLECTED, *scripts(), *mixtures(800)]


def with_added_tokens() -> ClipTokenizer:
    """Textual inversion: companions, a token with spaces beside it, one that is found in normalized text."""
    tokenizer = ClipTokenizer.from_folder(CLIP, LENGTH).with_tokens(["<Cat>", "<Cat>_1", "<Cat>_2", "sks", "é-thing"])
    known = tokenizers.Tokenizer.from_str(tokenizer._definition)
    known.add_tokens([AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True)])
    return ClipTokenizer(known.to_str(), LENGTH)


@pytest.fixture(params=["wordpiece", "clip-bpe", "added"])
def tokenizer(request: pytest.FixtureRequest) -> tuple[str, Tokenizer]:
    """A kind, and Python's tokenizer of it."""
    if request.param == "wordpiece":
        return "wordpiece", WordPieceTokenizer.from_file(EMOJI, LENGTH)
    return "clip-bpe", with_added_tokens() if request.param == "added" else ClipTokenizer.from_folder(CLIP, LENGTH)


def test_ids_are_pythons(tokenizer: tuple[str, Tokenizer], ask: Ask, tmp_path: Path) -> None:
    kind, reference = tokenizer
    reference.save(tmp_path / "tokenizer.json")
    texts = [*prompts(), "a<Cat>photo of <cat> SKS  <left>  and <right>  é-thing E\u0301-THING <Cat>_1"]
    opened, *answers = ask(
        [{"tokenizer": [kind, LENGTH, str(tmp_path / "tokenizer.json")]}, *({"prompt": text} for text in texts)]
    )
    assert opened == {} and len(answers) == len(texts) > 3000
    for text, answer in zip(texts, answers, strict=True):
        tokens = reference.encode(text)
        assert answer == {"ids": tokens.ids.tolist(), "mask": tokens.mask.tolist()}, ascii(text)


def test_golden_prompts(ask: Ask) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    cases = golden["prompts"]
    _, *answers = ask(
        [
            {"tokenizer": ["wordpiece", golden["max_tokens"], str(EMOJI)]},
            *({"prompt": case["prompt"]} for case in cases),
        ]
    )
    assert answers == [{"ids": case["ids"], "mask": case["mask"]} for case in cases]


def test_a_prompt_that_python_refuses_is_refused(ask: Ask) -> None:
    _, nul, long, longest = ask(
        [
            {"tokenizer": ["wordpiece", 24, str(EMOJI)]},
            {"prompt": "a\0b"},
            {"prompt": "a" * (MAX_CHARACTERS + 1)},
            {"prompt": "a" * MAX_CHARACTERS},
        ]
    )
    assert "without NUL bytes, got one at character 1" in nul["error"]
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
