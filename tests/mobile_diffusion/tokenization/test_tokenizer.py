"""The tokenizer against transformers' pure-Python BERT tokenizer, and every prompt a user may type."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import numpy as np
import pytest
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

from mobile_diffusion.errors import CheckpointError, ConfigError, PromptError
from mobile_diffusion.tokenization.tokenizer import MAX_CHARACTERS, ClipTokenizer, WordPieceTokenizer, open_tokenizer

ASSETS = Path(__file__).parents[3] / "assets"
VOCABULARY = Path(__file__).parents[3] / "mobile_diffusion" / "clip_vocabulary"
DEFINITION = ASSETS / "emoji" / "tokenizer.json"
START, END = 101, 102
PROMPTS = [
    "a red apple, 3d",
    "  Smiling FACE\twith sunglasses!\n",
    "it's a co-op: re-use (50%) of half-moons & stars...",
    "naïve café, Ångström, Zoë, İstanbul, straße",
    "unbelievablyhyperantidisestablishmentarianistic teacups",
    "x" * 101,
    "😀 grinning face 🍎🍏 and a 👩‍🚀 astronaut",
    "красное яблоко",
    "κόκκινο μήλο",
    "红苹果 on 白 background",
    "赤いりんご、リンゴ",
    "빨간 사과",
    "تفاحة حمراء",
    "תפוח אדום",
    "लाल सेब",
    "แอปเปิลสีแดง",
    "ቀይ ፖም",
    "წითელი ვაშლი",
    "կարմիր խնձոր",
    "\u200bzero\u200dwidth\ufeff\u00a0spaces\u3000here\u2028",
    "control \x01\x07 characters \x7f \ufffd vanish",
    "numbers 1,234.5 and ½ × ² ≠ ∞",
]


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer.from_file(DEFINITION, max_tokens=24)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizerLegacy:
    """An implementation without the `tokenizers` library, over the same vocabulary."""
    vocabulary: dict[str, int] = json.loads(DEFINITION.read_text(encoding="utf-8"))["model"]["vocab"]
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    path.write_text("".join(f"{word}\n" for word in sorted(vocabulary, key=vocabulary.__getitem__)), "utf-8")
    return BertTokenizerLegacy(str(path))


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("max_tokens", [3, 24, 128])
def test_equals_transformers(prompt: str, max_tokens: int, reference: BertTokenizerLegacy) -> None:
    tokens = WordPieceTokenizer.from_file(DEFINITION, max_tokens).encode(prompt)
    expected = reference(prompt, padding="max_length", truncation=True, max_length=max_tokens)
    assert tokens.ids.tolist() == expected["input_ids"]
    assert tokens.mask.tolist() == expected["attention_mask"]
    assert tokens.ids.dtype == tokens.mask.dtype == np.int32


@pytest.mark.parametrize("prompt", PROMPTS)
def test_unknown_words_are_those_of_transformers(
    prompt: str, tokenizer: WordPieceTokenizer, reference: BertTokenizerLegacy
) -> None:
    words, unknown = reference.basic_tokenizer.tokenize(prompt), [reference.unk_token]
    expected = dict.fromkeys(word for word in words if reference.wordpiece_tokenizer.tokenize(word) == unknown)
    found = [reference.basic_tokenizer.tokenize(word) for word in tokenizer.unknown_words(prompt)]
    assert found == [[word] for word in expected]


def test_a_prompt_of_characters_without_a_token_is_unknown(tokenizer: WordPieceTokenizer) -> None:
    assert tokenizer.unknown_words("\u200b\x01") == ("\u200b\x01",)
    assert tokenizer.unknown_words("🍎") == ("🍎",)
    assert tokenizer.unknown_words("") == tokenizer.unknown_words(" \n") == tokenizer.unknown_words("apple") == ()


@pytest.mark.parametrize("prompt", ["", " ", "\t\r\n", "\u3000\u00a0"])
def test_an_empty_prompt_is_the_null_condition(prompt: str, tokenizer: WordPieceTokenizer) -> None:
    tokens = tokenizer.encode(prompt)
    assert tokens.ids.tolist() == [START, END] + [0] * 22
    assert tokens.mask.tolist() == [1, 1] + [0] * 22


def test_a_prompt_that_just_fits_is_not_cut(tokenizer: WordPieceTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    tokens = tokenizer.encode("apple " * 22)
    assert tokens.mask.sum() == 24
    assert not caplog.records


def test_an_over_long_prompt_is_cut_with_one_warning(
    tokenizer: WordPieceTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tokens = tokenizer.encode("apple " * 23)
    assert tokens.ids.shape == tokens.mask.shape == (24,)
    assert tokens.mask.all()
    assert (tokens.ids[0], tokens.ids[-1]) == (START, END)
    assert [record.getMessage() for record in caplog.records] == [
        "the prompt has 25 tokens and the model reads 24: its end is ignored; shorten it"
    ]


@pytest.mark.parametrize("prompt", ["apple " * 17_000, "a" * 100_000, "苹" * 34_000, "😀" * 25_000])
def test_a_hundred_kilobytes_are_cut_quickly(prompt: str, tokenizer: WordPieceTokenizer) -> None:
    started = time.perf_counter()
    tokens = tokenizer.encode(prompt)
    assert time.perf_counter() - started < 2
    assert tokens.ids.shape == (24,)
    assert tokens.ids[tokens.mask.sum() - 1] == END


def test_every_script_is_read(tokenizer: WordPieceTokenizer) -> None:
    """Sixteen characters of each block of 256 code points: no error, exact length, both ends in place."""
    for first in range(0x1, 0x110000, 256):
        prompt = "".join(chr(point) for point in range(first, first + 16) if not 0xD800 <= point <= 0xDFFF)
        tokens = tokenizer.encode(prompt)
        assert tokens.ids.shape == (24,)
        assert (tokens.ids[0], tokens.ids[tokens.mask.sum() - 1]) == (START, END)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a\0b", "expected a prompt without NUL bytes, got one at character 1: remove it"),
        ("\0", "expected a prompt without NUL bytes, got one at character 0: remove it"),
        ("an apple \udc80", "got the lone surrogate U\\+DC80 at character 9"),
        ("\ud83d", "got the lone surrogate U\\+D83D at character 0"),
        ("a" * (MAX_CHARACTERS + 1), "at most 1,000,000 characters, got 1,000,001: shorten it"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(prompt: str, message: str, tokenizer: WordPieceTokenizer) -> None:
    with pytest.raises(PromptError, match=message) as caught:
        tokenizer.encode(prompt)
    assert str(caught.value).isprintable()


def test_saves_the_file_it_was_opened_from(tokenizer: WordPieceTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    assert (tmp_path / "tokenizer.json").read_bytes() == DEFINITION.read_bytes()


def test_ignores_padding_and_truncation_inside_the_file(tmp_path: Path) -> None:
    """As published, the file cuts at 128 and pads to 128."""
    definition = json.loads(DEFINITION.read_text(encoding="utf-8"))
    definition["truncation"] = {"max_length": 5, "strategy": "LongestFirst", "stride": 0}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(definition), encoding="utf-8")
    assert WordPieceTokenizer.from_file(path, 24).encode("apple " * 9).mask.sum() == 11


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{", "expected a tokenizers definition in JSON"),
        (b'{"version": "1.0"}', "expected a tokenizers definition in JSON"),
        (b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}', "expected a WordPiece tokenizer, got BPE"),
        (
            b'{"model": {"type": "WordPiece", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]",'
            b' "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}}',
            r"expected the token \[SEP\]",
        ),
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        WordPieceTokenizer.from_file(path, 24)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 3"):
        WordPieceTokenizer.from_file(DEFINITION, max_tokens=2)


def test_each_kind_is_opened_by_its_name(tmp_path: Path) -> None:
    ClipTokenizer.from_folder(VOCABULARY, 77).save(tmp_path / "tokenizer.json")
    assert isinstance(open_tokenizer("clip-bpe", tmp_path / "tokenizer.json", 16), ClipTokenizer)
    wordpiece = open_tokenizer("wordpiece", DEFINITION, 16)
    assert isinstance(wordpiece, WordPieceTokenizer) and wordpiece.max_tokens == 16
    with pytest.raises(CheckpointError, match="expected a WordPiece tokenizer, got BPE"):
        open_tokenizer("wordpiece", tmp_path / "tokenizer.json", 16)
    with pytest.raises(ConfigError, match="one of wordpiece, clip-bpe, clip-bpe-pair, got 'unigram'"):
        open_tokenizer("unigram", DEFINITION, 16)
