"""A prompt as the text encoder reads it: windows of tokens, with a weight per token.

A reading has one version of the prompt, or several whose contexts are mixed: Compel mixes a prompt with weights below
1 with the same prompt without those words.  weighing.py computes the context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.prompts.a1111 import parse_a1111
from mobile_diffusion.prompts.compel import parse_compel
from mobile_diffusion.prompts.pieces import Piece, check_syntax
from mobile_diffusion.prompts.windows import Run, divide, warn_cut
from mobile_diffusion.tokenization.tokenizer import Tokenizer, WordTokenizer
from mobile_diffusion.tokenization.tokens import Tokens, check_prompt

SMALLEST = 1e-5
"""Weights below it count as much: at 0 the share of a version without a word would be infinite."""


@dataclass(frozen=True, eq=False)
class Version:
    """The windows of a prompt, or of a part of it."""

    share: float
    """How much of it is in the mixture, relative to the others."""
    tokens: tuple[Tokens, ...]
    """N windows; ids and mask (L,), of two text encoders (2, L)."""
    weights: NDArray[np.float64]
    """(N, E, L) for E text encoders; 1 for start, end and padding."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A prompt, read by a syntax."""

    syntax: str
    versions: tuple[Version, ...]
    """The whole prompt first."""
    empty: Tokens | None
    """The empty prompt, if weights lead away from it."""
    cut: bool
    """Whether the end of the prompt did not fit into the windows."""

    def inputs(self, uses_mask: bool) -> dict[str, NDArray[np.int32]]:
        """The inputs of `encode_text` for the windows of the whole prompt, stacked in front: (N, L) or (N, 2, L)."""
        return stacked(self.versions[0].tokens, uses_mask)


def stacked(windows: Sequence[Tokens], uses_mask: bool) -> dict[str, NDArray[np.int32]]:
    """Windows as inputs of `encode_text`, one row each."""
    ids = {"tokens": np.stack([window.ids for window in windows])}
    return ids | ({"mask": np.stack([window.mask for window in windows])} if uses_mask else {})


def split_windows(inputs: Mapping[str, NDArray[np.int32]]) -> list[dict[str, NDArray[np.int32]]]:
    """Inputs of `encode_text` of N windows -> those of each window."""
    count = len(inputs["tokens"])
    return [{name: rows[row : row + 1] for name, rows in inputs.items()} for row in range(count)]


def read_prompt(tokenizer: Tokenizer, prompt: str, syntax: str = "plain", windows: int = 1) -> Reading:
    """Read a prompt; what does not fit into the windows is ignored, with a warning.

    Raises PromptError for text that is not valid, an unknown syntax and weights that cannot be used.
    """
    check_prompt(prompt)
    check_syntax(syntax)
    if syntax == "plain" and windows == 1:
        return _read_plain(tokenizer, prompt)
    if syntax == "compel":
        reading = _read_compel(tokenizer, parse_compel(prompt), windows)
    else:
        pieces = parse_a1111(prompt) if syntax == "a1111" else [Piece(prompt, 1.0)]
        version, cut = _version(tokenizer, pieces, windows, 1.0)
        reading = Reading(syntax, (version,), None, cut)
    if reading.cut:
        warn_cut(windows, tokenizer.max_tokens)
    return reading


def _read_plain(tokenizer: Tokenizer, prompt: str) -> Reading:
    """One window, as the tokenizer makes and cuts it."""
    tokens = tokenizer.encode(prompt)
    version = Version(1.0, (tokens,), np.ones((1, *np.atleast_2d(tokens.ids).shape)))
    return Reading("plain", (version,), None, tokens.cut)


def _read_compel(tokenizer: Tokenizer, pieces: Sequence[Piece], windows: int) -> Reading:
    """The whole prompt, and for each piece of a weight below 1 the prompt without it."""
    whole, cut = _version(tokenizer, pieces, windows, 1.0)
    versions = [whole]
    for number, piece in enumerate(pieces):
        if piece.weight < 1 and piece.text.strip():
            share = math.tan((1 - max(piece.weight, SMALLEST)) * math.pi / 2)
            others = [*pieces[:number], *pieces[number + 1 :]]
            versions.append(_version(tokenizer, others, windows, share)[0])
    weighted = any((version.weights != 1).any() for version in versions)
    empty = _joined([part.window([]) for part in tokenizer.parts]) if weighted else None
    return Reading("compel", tuple(versions), empty, cut)


def _version(tokenizer: Tokenizer, pieces: Sequence[Piece], windows: int, share: float) -> tuple[Version, bool]:
    """The windows of pieces, for each text encoder, and whether the end was cut."""
    parts = [_windows(part, pieces, windows) for part in tokenizer.parts]
    tokens = tuple(_joined(both) for both in zip(*(tokens for tokens, _, _ in parts), strict=True))
    version = Version(share, tokens, np.stack([weights for _, weights, _ in parts], axis=1))
    return version, any(cut for *_, cut in parts)


def _windows(
    part: WordTokenizer, pieces: Sequence[Piece], count: int
) -> tuple[list[Tokens], NDArray[np.float64], bool]:
    """Windows of one text encoder, their weights (N, L), and whether the end of the prompt was cut."""
    runs = [Run(() if each.is_break else tuple(part.words(each.text)), each.weight, each.is_break) for each in pieces]
    divided = divide(runs, part.max_tokens - 2, count, _comma(part))
    weights = np.ones((count, part.max_tokens))
    for row, window in zip(weights, divided.windows, strict=True):
        row[1 : 1 + len(window)] = [weight for _, weight in window]
    return [part.window([token for token, _ in window]) for window in divided.windows], weights, divided.cut


def _comma(part: WordTokenizer) -> int | None:
    """The token of a comma, where it is one."""
    ids = part.words(",")
    return ids[0] if len(ids) == 1 else None


def _joined(windows: Sequence[Tokens]) -> Tokens:
    """One window of each text encoder as one, (2, L) for two."""
    if len(windows) == 1:
        return windows[0]
    return Tokens(np.stack([each.ids for each in windows]), np.stack([each.mask for each in windows]))
