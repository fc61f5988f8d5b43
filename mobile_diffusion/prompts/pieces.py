"""A prompt with weights, cut into pieces of one weight each; the syntaxes are in a1111.py and compel.py.

Numbers are doubles, multiplied in the order that a parser states, so that every language gets the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from mobile_diffusion.errors import PromptError
from mobile_diffusion.quoting import quoted

SYNTAXES = ("plain", "a1111", "compel")
"""How a prompt is read: as it is typed, or with weights as one of the two programs reads them."""
MAX_WEIGHT = 100.0
"""The largest weight; pictures break far below it."""
MAX_CHARACTERS = 10_000
"""The longest prompt with weights: with many brackets, the time of reading it grows with the square of its length."""


@dataclass(frozen=True)
class Piece:
    """Text of one weight."""

    text: str
    weight: float
    is_break: bool = False
    """Whether it ends a window instead of being text."""


def check_syntax(syntax: str) -> None:
    """Raise PromptError for a syntax that is none of `SYNTAXES`."""
    if syntax not in SYNTAXES:
        raise PromptError(f"prompt syntax: expected one of {', '.join(SYNTAXES)}, got {quoted(syntax)}")


def check_short(prompt: str) -> None:
    """Raise PromptError for a prompt that is too long to be read with weights."""
    if len(prompt) > MAX_CHARACTERS:
        raise PromptError(
            f"expected a prompt with weights of at most {MAX_CHARACTERS:,} characters, got {len(prompt):,}: shorten it"
        )


def fused(pieces: list[Piece], between: str) -> list[Piece]:
    """Neighbours of the same weight as one piece, with `between` in their middle; raise PromptError for a weight that
    is too large.
    """
    result: list[Piece] = []
    for piece in pieces:
        if not piece.is_break and not abs(piece.weight) <= MAX_WEIGHT:
            raise PromptError(
                f"prompt: expected weights from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}, got {piece.weight:g}; lower it"
            )
        last = result[-1] if result else None
        if last is None or last.is_break or piece.is_break or last.weight != piece.weight:
            result.append(piece)
        else:
            result[-1] = Piece(last.text + between + piece.text, last.weight)
    return result or [Piece("", 1.0)]
