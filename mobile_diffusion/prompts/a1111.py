"""Weights as AUTOMATIC1111's web UI writes them: (word), [word], (word:1.3), and BREAK.

Brackets and their weights multiply from the inside outwards.  A backslash makes the next bracket a character, and
vanishes in front of anything else.  An open bracket reaches to the end; a closing one without an open one is text.
BREAK begins the next window; inside brackets that change its own weight of -1 it is a word, as in the original.
"""

from __future__ import annotations

import re

from mobile_diffusion.errors import PromptError
from mobile_diffusion.prompts.pieces import Piece, check_short, fused
from mobile_diffusion.quoting import quoted

UP = 1.1
DOWN = 1 / 1.1
BREAK = "BREAK"
PART = re.compile(r"\\[()\[\]\\]?|[()\[\]]|:[+-]?[.0-9]+\)|[^\\()\[\]:]+|:", re.ASCII)
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")
BREAKS = re.compile(r"\bBREAK\b")
BREAK_WEIGHT = -1.0


def parse_a1111(prompt: str) -> list[Piece]:
    """The pieces of a prompt, in order; raises PromptError for a weight that is no number or too large."""
    check_short(prompt)
    pieces: list[tuple[str, float]] = []
    round_open, square_open = list[int](), list[int]()
    for part in PART.findall(prompt):
        if part.startswith("\\"):
            pieces.append((part[1:], 1.0))
        elif part == "(":
            round_open.append(len(pieces))
        elif part == "[":
            square_open.append(len(pieces))
        elif part.startswith(":") and len(part) > 1 and round_open:
            _multiply(pieces, round_open.pop(), _number(part[1:-1]))
        elif part == ")" and round_open:
            _multiply(pieces, round_open.pop(), UP)
        elif part == "]" and square_open:
            _multiply(pieces, square_open.pop(), DOWN)
        else:
            pieces += _text(part)
    for start in round_open:
        _multiply(pieces, start, UP)
    for start in square_open:
        _multiply(pieces, start, DOWN)
    return fused([_piece(text, weight) for text, weight in pieces], "")


def _multiply(pieces: list[tuple[str, float]], start: int, factor: float) -> None:
    pieces[start:] = [(text, weight * factor) for text, weight in pieces[start:]]


def _text(part: str) -> list[tuple[str, float]]:
    """Text without brackets, and a break between its parts."""
    first, *others = BREAKS.split(part)
    return [(first, 1.0), *(each for other in others for each in ((BREAK, BREAK_WEIGHT), (other, 1.0)))]


def _piece(text: str, weight: float) -> Piece:
    return Piece(text, weight, is_break=text == BREAK and weight == BREAK_WEIGHT)


def _number(text: str) -> float:
    if not NUMBER.fullmatch(text):
        raise PromptError(f"prompt: expected a weight such as 1.3 after a colon, got {quoted(text)}")
    return float(text)
