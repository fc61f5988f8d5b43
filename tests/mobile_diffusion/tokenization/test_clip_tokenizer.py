"""CLIP's tokenizer against transformers' on thousands of strings of every script, over CLIP's real vocabulary."""

from __future__ import annotations

import json
import logging
import random
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPTokenizer

from mobile_diffusion.errors import CheckpointError, ConfigError, PromptError
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from tests.prompts import scripts

CLIP = Path(__file__).parents[3] / "mobile_diffusion" / "clip_vocabulary"
START, END = 49406, 49407
COLLECTED = [
    "",
    "a photo of an astronaut riding a horse on mars, 8k, trending on artstation",
    "don't can't we'll they've I'm he'd it's you're rock'n'roll 'tis O'Neill's",
    "DON'T SHOUT'S IT'LL",
    "!!! ??? ... ?!?! ---- ____ ((()))) [[]] {} <> <|> ||| \\ / ~~ `` ^^ $$ %% && ** ++ == ;; ::",
    "(masterpiece:1.2), ((best quality)), [ugly|bad], <lora:name:0.8>",
    "numbers 1,234.5 007 1e-5 3D 4k ½ ① ² ⅷ 五 ٣ ५",
    "<|endoftext|>",
    "<|startoftext|>a cat<|endoftext|> and a dog <|endoftext|>",
    "<|ENDOFTEXT|>!<|StartOfText|>. <|endoftext <|endoftext|",
    "naïve cafe\u0301 Ångström Zoë İstanbul straße ǅ ﬁ ﬃ Ǆ ẞ ς Σ ΌΔΟΣ",
    "e\u0301\u0302\u0303 q\u0323\u0307 q\u0307\u0323 \u0301\u0301 \u1100\u1161\u11a8 각 \u212b \u2126 \u0958",
    "tab\tline\nreturn\r\nfeed\x0c\x0b nel\x85 nbsp\xa0 ogham\u1680 mvs\u180e ls\u2028ps\u2029 wide\u3000 zw\u200b",
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f",
    "control \x01\x02\x07\x1b\x1c\x1f\x7f\x80\x9f \ufeff \ufffd \ufffe \uffff \U0010ffff",
    "right \u202eto left\u202c \u2066isolate\u2069 soft\u00adhyphen \u200d \u200c \ufe0f \ufe0e",
    "👩‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 🏴‍☠️ ❤️‍🔥 👍🏽 ☺️ ☺ 1️⃣ #️⃣ 🇩🇪🇫🇷 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "&amp; &lt;b&gt; &#39; Ã© â€™",
    "красное яблоко, κόκκινο μήλο, 红苹果, 赤いりんご、リンゴ, 빨간 사과, تفاحة حمراء, תפוח אדום, लाल सेब, แอปเปิลสีแดง",
    "ቀይ ፖም წითელი ვაშლი կարմիր խնձոր ᚠᚢᚦ 𐌰𐌱 𝒜𝓫 𓀀 ꙮ ཨོཾ ᓀᐦ ⴰⵣ",
    "antidisestablishmentarianism" * 4,
    "x" * 300,
    "a " * 200,
    "苹果" * 100,
]
JOINED = ("👩", "👨", "🧑", "👧", "❤️", "🚀", "💻", "🏳️", "🌈", "🏽", "♀️", "🔥")
PIECES = (*" \t\n\xa0'!.,?-_&<>|1٣½aBzéßİσ", "'s", "'LL", "n't", "<|endoftext|>", "the", "photo", "\u0301", "\u200d")


def mixtures(count: int) -> list[str]:
    """Words, spaces, punctuation, special tokens and characters of assigned scripts, joined at random."""
    draw = random.Random(2)
    texts = []
    for _ in range(count):
        length = draw.choice((1, 2, 3, 5, 8, 13, 40, 90))
        texts.append("".join(chr(draw.randrange(1, 0x3100)) if draw.random() < 0.4 else draw.choice(PIECES)
                             for _ in range(length)))  # fmt: skip
    return texts


def emoji(count: int) -> list[str]:
    """Sequences joined by zero-width joiners, flags, keycaps and skin tones."""
    draw = random.Random(3)
    flags = [chr(0x1F1E6 + draw.randrange(26)) + chr(0x1F1E6 + draw.randrange(26)) for _ in range(count)]
    single = [chr(draw.randrange(0x1F300, 0x1FB00)) for _ in range(count)]
    joined = ["\u200d".join(draw.choices(JOINED, k=draw.randint(2, 5))) for _ in range(count)]
    return [draw.choice(("", " ", "a ")).join(parts) for parts in zip(flags, single, joined, strict=True)]


@pytest.fixture(scope="module")
def strings() -> list[str]:
    """At least 10,000 different strings."""
    texts = list(dict.fromkeys([*COLLECTED, *scripts(), *mixtures(4000), *emoji(1000)]))
    assert len(texts) >= 10_000
    return texts


def copy_folder(target: Path, padding: str, settings: dict[str, object] | None = None) -> Path:
    """CLIP's tokenizer folder with another padding token, or with other settings alone."""
    shutil.copytree(CLIP, target, ignore=shutil.ignore_patterns("*.py"))
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        values = json.loads((target / name).read_text(encoding="utf-8"))
        (target / name).write_text(json.dumps({**values, "pad_token": padding}), encoding="utf-8")
    if settings is not None:
        (target / "special_tokens_map.json").unlink()
        (target / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return target


def typed(content: str) -> dict[str, object]:
    """A token as tokenizer_config.json of Stable Diffusion 1.5 writes it."""
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {"__type": "AddedToken", "content": content, **flags}


def flagged(content: str, normalized: bool) -> dict[str, object]:
    """A token as "added_tokens_decoder" writes it."""
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False,
            "normalized": normalized, "special": True}  # fmt: skip


FIRST, LAST = "<|startoftext|>", "<|endoftext|>"
TYPED = {"bos_token": typed(FIRST), "eos_token": typed(LAST), "unk_token": typed(LAST)}
DECODER = {"0": flagged("!", False), "49406": flagged(FIRST, False), "49407": flagged(LAST, True)}
FOLDERS: dict[str, tuple[str, dict[str, object] | None]] = {
    "Stable Diffusion 1": ("<|endoftext|>", None),
    "Stable Diffusion 2": ("!", None),
    "all in tokenizer_config": ("", {**TYPED, "pad_token": "<|endoftext|>", "do_lower_case": True}),
    "padding only": ("", {"pad_token": "<|endoftext|>"}),
    "padding as an object": ("", {**TYPED, "pad_token": typed("!")}),
    "added_tokens_decoder": ("", {"pad_token": "!", "added_tokens_decoder": DECODER}),
    "further special tokens": ("", {"pad_token": "!", "additional_special_tokens": ["<style>", "photo"]}),
}


def assert_equal(ours: ClipTokenizer, reference: CLIPTokenizer, texts: list[str]) -> None:
    """Every id and every mask, at the length of `ours`."""
    expected = reference(texts, padding="max_length", truncation=True, max_length=ours.max_tokens)
    encoded = [ours.encode(text) for text in texts]
    assert encoded[0].ids.dtype == encoded[0].mask.dtype == np.int32
    got = [(tokens.ids.tolist(), tokens.mask.tolist()) for tokens in encoded]
    wanted = list(zip(expected["input_ids"], expected["attention_mask"], strict=True))
    assert [text for text, a, b in zip(texts, got, wanted, strict=True) if a != b] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_equals_transformers(folder: str, strings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    path = copy_folder(tmp_path / "tokenizer", *FOLDERS[folder])
    texts = strings if folder.startswith("Stable") else strings[::5]
    assert_equal(ClipTokenizer.from_folder(path, 77), CLIPTokenizer.from_pretrained(path), texts)


@pytest.mark.parametrize("folder", ["Stable Diffusion 1", "Stable Diffusion 2", "added_tokens_decoder"])
def test_equals_transformers_on_a_folder_that_it_saved(
    folder: str, strings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which has a tokenizer.json, and neither vocab.json nor merges.txt."""
    caplog.set_level(logging.ERROR)
    old = CLIPTokenizer.from_pretrained(copy_folder(tmp_path / "old", *FOLDERS[folder]))
    old.add_tokens(["<toy>", "Style"])
    old.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new" / "vocab.json").exists()
    new = CLIPTokenizer.from_pretrained(tmp_path / "new")
    assert_equal(ClipTokenizer.from_folder(tmp_path / "new", 77), new, ["a <toy>, style", *strings[::5]])


TOKEN = {"__type": "AddedToken", "content": "<style>", "lstrip": True, "rstrip": False, "normalized": False}
EXTRA = ({}, [], ["<style>", "photo"], {"style_token": "<style>", "other_token": "photo"}, {"style_token": TOKEN})


@pytest.mark.parametrize("extra", EXTRA)
def test_extra_special_tokens_equal_transformers(extra: object, tmp_path: Path) -> None:
    """A list, or since transformers 4.47 an object; a folder that transformers saves repeats the names elsewhere."""
    path = copy_folder(tmp_path / "tokenizer", *FOLDERS["Stable Diffusion 1"])
    file = path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "extra_special_tokens": extra}))
    reference = CLIPTokenizer.from_pretrained(path)
    texts = ["a  <style>  apple", "photo of <Style>, photo", "<style><style>"]
    assert_equal(ClipTokenizer.from_folder(path, 77), reference, texts)
    reference.save_pretrained(tmp_path / "saved")
    assert_equal(ClipTokenizer.from_folder(tmp_path / "saved", 77), reference, texts)


@pytest.mark.parametrize("folder", FOLDERS)
def test_one_saved_file_restores_all(folder: str, strings: list[str], tmp_path: Path) -> None:
    opened = ClipTokenizer.from_folder(copy_folder(tmp_path / "tokenizer", *FOLDERS[folder]), 77)
    opened.save(tmp_path / "tokenizer.json")
    restored = ClipTokenizer.from_file(tmp_path / "tokenizer.json", 77)
    restored.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    for text in strings[::50]:
        assert restored.encode(text).ids.tolist() == opened.encode(text).ids.tolist()


@pytest.mark.parametrize(("folder", "padding"), [("Stable Diffusion 1", END), ("Stable Diffusion 2", 0)])
def test_the_empty_prompt_is_start_end_and_the_padding_of_the_folder(folder: str, padding: int, tmp_path: Path) -> None:
    tokenizer = ClipTokenizer.from_folder(copy_folder(tmp_path / "tokenizer", *FOLDERS[folder]), 77)
    for prompt in ("", " ", "\t\r\n", "\u3000\u00a0"):
        tokens = tokenizer.encode(prompt)
        assert tokens.ids.tolist() == [START, END] + [padding] * 75
        assert tokens.mask.tolist() == [1, 1] + [0] * 75


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer.from_folder(CLIP, 77)


def test_ids_are_those_that_openai_published(tokenizer: ClipTokenizer) -> None:
    """A constant, so that vocabulary and merges do not only agree with each other."""
    assert tokenizer.encode("A photo of a cat").ids[:7].tolist() == [START, 320, 1125, 539, 320, 2368, END]


@pytest.mark.parametrize("prompt", ["🍎", "แอปเปิล ቀይ", "\u200b", "a <|endoftext|> b", "", " "])
def test_clip_knows_every_word(prompt: str, tokenizer: ClipTokenizer) -> None:
    assert tokenizer.unknown_words(prompt) == ()


def test_unknown_words_of_a_small_vocabulary_are_those_of_transformers(tmp_path: Path) -> None:
    symbols = ["<|startoftext|>", "<|endoftext|>", *"abc", *(f"{letter}</w>" for letter in "abc")]
    (tmp_path / "vocab.json").write_text(json.dumps({symbol: index for index, symbol in enumerate(symbols)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>", "model_max_length": 77}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    reference, small = CLIPTokenizer.from_pretrained(tmp_path), ClipTokenizer.from_folder(tmp_path, 77)
    for word in ("abc", "xyz", "c"):
        unknown = reference.unk_token_id in reference(word).input_ids[1:-1]
        assert bool(small.unknown_words(word)) == unknown == (word == "xyz")


def test_a_prompt_that_just_fits_is_not_cut(tokenizer: ClipTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    tokens = tokenizer.encode("apple " * 75)
    assert tokens.mask.sum() == 77
    assert not caplog.records


def test_an_over_long_prompt_is_cut_with_one_warning(
    tokenizer: ClipTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = tokenizer.encode("apple " * 76)
    assert tokens.mask.all()
    assert (tokens.ids[0], tokens.ids[-2], tokens.ids[-1]) == (START, tokens.ids[1], END)
    assert [record.getMessage() for record in caplog.records] == [
        "the prompt has 78 tokens and the model reads 77: its end is ignored; shorten it"
    ]


@pytest.mark.parametrize("prompt", ["apple " * 17_000, "a" * 100_000, "苹" * 34_000, "!" * 100_000, "1" * 100_000])
def test_a_hundred_kilobytes_are_cut_quickly(prompt: str, tokenizer: ClipTokenizer) -> None:
    started = time.perf_counter()
    tokens = tokenizer.encode(prompt)
    assert time.perf_counter() - started < 4
    assert (tokens.ids.shape, tokens.ids[tokens.mask.sum() - 1]) == ((77,), END)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a\0b", "expected a prompt without NUL bytes, got one at character 1: remove it"),
        ("an apple \udc80", "got the lone surrogate U\\+DC80 at character 9"),
        ("a" * 1_000_001, "at most 1,000,000 characters, got 1,000,001: shorten it"),
    ],
)
def test_what_is_no_text_is_refused(prompt: str, message: str, tokenizer: ClipTokenizer) -> None:
    with pytest.raises(PromptError, match=message):
        tokenizer.encode(prompt)


def test_a_folder_is_opened_once_until_a_file_of_it_changes(tmp_path: Path) -> None:
    one, other = (copy_folder(tmp_path / name, "<|endoftext|>") for name in ("one", "other"))
    first = ClipTokenizer.from_folder(one, 77)
    assert ClipTokenizer.from_folder(other, 77) is first and ClipTokenizer.from_folder(other, 40) is not first
    padding = first.encode("").ids[-1]
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        file = other / name
        file.write_text(file.read_text(encoding="utf-8").replace('"pad_token": "<|endoftext|>"', '"pad_token": "!"'))
    assert ClipTokenizer.from_folder(other, 77).encode("").ids[-1] != padding == END
    for folder in (one, other):
        (folder / "vocab.json").write_text("{}", encoding="utf-8")
        with pytest.raises(CheckpointError, match=f"^{re.escape(str(folder))}: expected "):
            ClipTokenizer.from_folder(folder, 77)


def test_added_tokens_get_the_next_ids(tokenizer: ClipTokenizer, tmp_path: Path) -> None:
    more = tokenizer.with_tokens(["<cat>"]).with_tokens(["EasyNegative", "EasyNegative_1", "EasyNegative_2"])
    assert (tokenizer.vocabulary, more.vocabulary) == (49408, 49412)
    assert more.encode("a<CAT>.").ids[:5].tolist() == [START, 320, 49408, 269, END]
    assert more.encode("easynegative").ids[:5].tolist() == [START, 49409, 49410, 49411, END]
    more.save(tmp_path / "tokenizer.json")
    restored = ClipTokenizer.from_file(tmp_path / "tokenizer.json", 4)
    assert restored.encode("easynegative").ids.tolist() == [START, 49409, 49410, END]


@pytest.mark.parametrize("token", ["cat", "<|endoftext|>", " ", "<toy>"])
def test_a_token_that_is_there_already_is_not_added(token: str, tokenizer: ClipTokenizer) -> None:
    with pytest.raises(CheckpointError, match="expected a token that the tokenizer does not have"):
        tokenizer.with_tokens(["<toy>_1"]).with_tokens([token])


def without(section: str) -> bytes:
    """CLIP's tokenizer.json, with one section replaced by null."""
    definition = json.loads(ClipTokenizer.from_folder(CLIP, 77)._definition)
    return json.dumps({**definition, section: None}).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: None, "No such file"),
        (lambda: b"\xff\xfe", "not UTF-8"),
        (lambda: b"{", "expected a tokenizers definition in JSON"),
        (lambda: b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}', "BPE with suffix None"),
        (
            lambda: (CLIP.parents[1] / "assets" / "emoji" / "tokenizer.json").read_bytes(),
            "got WordPiece with suffix None",
        ),
        (lambda: without("padding"), "expected a padding section"),
        (lambda: without("normalizer"), "expected CLIP's normalizer, got another"),
        (lambda: without("pre_tokenizer"), "expected CLIP's pre_tokenizer, got another"),
        (lambda: without("post_processor"), "expected CLIP's post_processor"),
    ],
)
def test_a_file_that_is_no_clip_tokenizer_is_refused(content: object, message: str, tmp_path: Path) -> None:
    path, data = tmp_path / "tokenizer.json", content()  # type: ignore[operator]
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        ClipTokenizer.from_file(path, 77)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 3"):
        ClipTokenizer.from_folder(CLIP, max_tokens=2)
