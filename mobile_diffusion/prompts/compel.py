"""Weights as the library Compel writes them: word++, word--, (some words)1.3, nested brackets and quotes.

A plus multiplies by 1.1, a minus by 0.9, a number behind brackets or quotes by itself.  What does not parse, such as
an unbalanced bracket, is text up to the next space.  Compel's other functions (`.blend()`, `.and()`, ...) are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mobile_diffusion.errors import PromptError
from mobile_diffusion.prompts.pieces import Piece, check_short, fused

BASES = {"+": 1.1, "-": 0.9}
SPACE = " \t\n\r\v\f"
SYNTAX = '(),."+-='
"""Characters that a word may have only after a backslash; + and - also in front of another character."""
NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
QUOTED = re.compile(r'"((?:\\"|[^"\n\r])*)"')
REFUSED = (".attend(", ".swap(", ".blend(", ".and(", ".add(", "withLora(", "useLora(")
DEPTH = 100
"""Brackets inside each other."""


@dataclass(frozen=True)
class _Read:
    """What was read, and where it ends."""

    pieces: tuple[Piece, ...]
    end: int


def parse_compel(prompt: str) -> list[Piece]:
    """The pieces of a prompt, in order; raises PromptError for a weight that is too large and for other functions."""
    check_short(prompt)
    for function in REFUSED:
        if function in prompt:
            raise PromptError(f'prompt: expected weights alone of Compel\'s syntax, got "{function}"; remove it')
    text = _spaced(prompt)
    pieces, at = list[Piece](), 0
    while at < len(text):
        if text[at] in SPACE:
            at += 1
            continue
        found = _part(text, at, 0) or _free_word(text, at)
        pieces += found.pieces
        at = found.end
    return fused(pieces, " ")


def _spaced(text: str) -> str:
    """The text with a space after each comma that has none; of two commas in a row only after the first."""
    return re.sub(r",(\S)", r", \1", text)


def _part(text: str, at: int, depth: int) -> _Read | None:
    """Brackets, quotes or a word: with an operator, or of the first two also without."""
    group = _brackets(text, at, depth) or _quotes(text, at, depth)
    if group is None:
        word = _word(text, at)
        return None if word is None else _weighted(text, word, numbers=False)
    return _weighted(text, group, numbers=True) or group


def _weighted(text: str, target: _Read, numbers: bool) -> _Read | None:
    """The target with the weight of the operator that follows it at once; None without one."""
    sign, end, weight = text[target.end : target.end + 1], target.end, 1.0
    if sign in BASES:
        while text[end : end + 1] == sign:
            weight *= BASES[sign]
            end += 1
    elif numbers and (number := NUMBER.match(text, end)):
        weight, end = float(number[0]), number.end()
    else:
        return None
    return _Read(tuple(Piece(each.text, each.weight * weight) for each in target.pieces), end)


def _brackets(text: str, at: int, depth: int) -> _Read | None:
    if text[at] != "(":
        return None
    inside = _inside(text, at + 1, depth + 1)
    closed = text[inside.end : inside.end + 1] == ")"
    return _Read(inside.pieces, inside.end + 1) if closed else None


def _quotes(text: str, at: int, depth: int) -> _Read | None:
    found = QUOTED.match(text, at)
    if found is None:
        return None
    inside = _inside(found[1], 0, depth + 1)
    pieces = inside.pieces or (Piece("", 1.0),)
    return _Read(pieces, found.end()) if inside.end == len(found[1]) else None


def _inside(text: str, at: int, depth: int) -> _Read:
    """As much as can be read in brackets or quotes; it ends in front of what cannot."""
    if depth > DEPTH:
        raise PromptError(f"prompt: expected at most {DEPTH} brackets inside each other, got more; remove some")
    pieces = list[Piece]()
    while at < len(text):
        if text[at] in SPACE:
            at += 1
            continue
        found = _part(text, at, depth) or _word(text, at)
        if found is None and text[at] in ",.":
            found = _Read((Piece(text[at], 1.0),), at + 1)
        if found is None:
            break
        pieces += found.pieces
        at = found.end
    return _Read(tuple(pieces), at)


def _word(text: str, at: int) -> _Read | None:
    """A word without syntax; None if there is none."""
    end = at
    while end < len(text):
        following = text[end + 1 : end + 2]
        if text[end] == "\\" and following and following in SYNTAX:
            end += 2
        elif (text[end] in BASES and following and following not in SPACE + SYNTAX) or text[end] not in SPACE + SYNTAX:
            end += 1
        else:
            break
    return _Read((_literal(text[at:end]),), end) if end > at else None


def _free_word(text: str, at: int) -> _Read:
    """Everything up to the next space."""
    end = at
    while end < len(text) and text[end] not in SPACE:
        end += 1
    return _Read((_literal(text[at:end]),), end)


def _literal(text: str) -> Piece:
    return Piece(re.sub(r'\\+([()"])', r"\1", text), 1.0)
