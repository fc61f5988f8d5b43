"""Prompts at their limits: what is refused, cut or left as it is, and two text encoders."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest

from assets.golden.weighted import LONG
from mobile_diffusion.errors import MobileDiffusionError, PromptError
from mobile_diffusion.prompts.pieces import SYNTAXES
from mobile_diffusion.prompts.reading import Reading, read_prompt
from mobile_diffusion.prompts.weighing import encode_reading
from mobile_diffusion.shipped import shipped_model
from mobile_diffusion.tokenization.clip_pair import ClipPairTokenizer
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from mobile_diffusion.tokenization.tokenizer import Tokenizer
from mobile_diffusion.tokenization.wordpiece import WordPieceTokenizer
from tests.mobile_diffusion.prompts.published_encoder import encode

CLIP = ClipTokenizer.from_folder(Path(__file__).parents[3] / "mobile_diffusion" / "clip_vocabulary", 77)
PAIR = ClipPairTokenizer(CLIP, CLIP.with_tokens(["<cat>"]))
BERT = WordPieceTokenizer.from_file(shipped_model() / "tokenizer.json", 24)


def refused(prompt: str, syntax: str) -> str:
    with pytest.raises(PromptError) as caught:
        read_prompt(CLIP, prompt, syntax)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("weight", ["1.2.3", ".", "..5", "+.", "-"])
def test_what_is_no_number(weight: str) -> None:
    if weight == "-":  # not taken as a weight at all
        assert read_prompt(CLIP, "(a:-)", "a1111").versions[0].weights[0, 0, 1] == 1.1
    else:
        assert "expected a weight such as 1.3 after a colon" in refused(f"(a:{weight})", "a1111")


@pytest.mark.parametrize(
    ("prompt", "syntax"),
    [
        ("(a:101)", "a1111"),
        ("(a:-101)", "a1111"),
        (f"(a:{'9' * 400})", "a1111"),
        ("(" * 49 + "a", "a1111"),
        ("(a)101", "compel"),
        ("a" + "+" * 49, "compel"),
        (f"(a){'9' * 400}", "compel"),
    ],
)
def test_weights_that_are_too_large(prompt: str, syntax: str) -> None:
    assert "expected weights from -100 to 100" in refused(prompt, syntax)


def test_other_prompts_that_are_refused() -> None:
    assert "expected one of plain, a1111, compel, got 'webui'" in refused("a", "webui")
    assert "at most 10,000 characters" in refused("a" * 10_001, "compel")
    assert "at most 100 brackets inside each other" in refused("(" * 101, "compel")
    assert '".blend("' in refused('("a", "b").blend(1, 1)', "compel")
    for syntax in SYNTAXES:
        assert "NUL" in refused("a\0", syntax)


@pytest.mark.parametrize("prompt", ["", "a red apple, 3d", "(a) [b] c++ BREAK (d:1.3)"])
@pytest.mark.parametrize("tokenizer", [CLIP, PAIR, BERT], ids=["clip", "pair", "bert"])
def test_a_plain_prompt_is_what_the_tokenizer_makes_of_it(tokenizer: Tokenizer, prompt: str) -> None:
    (one,), (first, second) = (read_prompt(tokenizer, prompt, windows=n).versions[0].tokens for n in (1, 2))
    wanted, empty = tokenizer.encode(prompt), tokenizer.encode("")
    for found, expected in ((one, wanted), (first, wanted), (second, empty)):
        assert found.ids.tolist() == expected.ids.tolist() and found.mask.tolist() == expected.mask.tolist()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("windows", "cut"), [(1, True), (2, True), (3, False)])
def test_the_end_that_does_not_fit_is_said(
    syntax: str, windows: int, cut: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        (version,) = read_prompt(CLIP, LONG, syntax, windows).versions
    assert [("end is ignored" in each.message) for each in caplog.records] == [True] * cut
    words = np.concatenate([window.ids[1:-1] for window in version.tokens])
    assert words[: 75 * min(windows, 2)].tolist() == CLIP.words(LONG)[: 75 * min(windows, 2)]


def test_a_break_in_the_last_window(caplog: pytest.LogCaptureFixture) -> None:
    (version,) = read_prompt(CLIP, "a BREAK b", "a1111", 1).versions
    assert version.tokens[0].ids.tolist() == CLIP.encode("a").ids.tolist()
    assert len(caplog.records) == 1
    read_prompt(CLIP, "a BREAK ", "a1111", 1)
    assert len(caplog.records) == 1


def two_encoders(stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    first, second = (encode(arrays["tokens"][:, row]) for row in (0, 1))
    return {"context": np.concatenate([first, 3 * second], axis=2), "pooled": arrays["tokens"][:, 1, :4]}


def test_each_text_encoder_keeps_its_mean_and_the_pooled_text_is_that_of_the_first_window() -> None:
    reading = read_prompt(PAIR, "a (red:1.5) cat BREAK [blue]", "a1111", 2)
    found = encode_reading(two_encoders, reading, False, (2, 2))
    alone = encode_reading(
        lambda stage, /, tokens: {"context": encode(tokens)},
        read_prompt(CLIP, "a (red:1.5) cat BREAK [blue]", "a1111", 2),
        False,
        (2,),
    )["context"]
    np.testing.assert_allclose(found["context"][..., :2], alone, rtol=1e-6)
    np.testing.assert_allclose(found["context"][..., 2:], 3 * alone, rtol=1e-6)
    assert found["pooled"].tolist() == [CLIP.encode("a red cat").ids[:4].tolist()]


def test_weights_that_leave_nothing() -> None:
    """A mean of zero cannot be restored."""

    def zeros(stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        return {"context": np.zeros((1, 77, 2), np.float32)}

    with pytest.raises(MobileDiffusionError, match="a finite text"):
        encode_reading(zeros, read_prompt(CLIP, "(a:0)", "a1111"), False, (2,))


def test_weights_of_one_leave_the_context_as_it_is() -> None:
    reading: Reading = read_prompt(CLIP, "a (red:1) cat", "a1111")
    ones = encode_reading(lambda stage, /, tokens: {"context": encode(tokens)}, reading, False, (2,))["context"]
    assert np.array_equal(ones, encode(CLIP.encode("a red cat").ids[None]))
    assert dataclasses.replace(reading).empty is None
