"""Divides the tokens of a prompt into windows, each of which the text encoder reads by itself.

The rule is that of AUTOMATIC1111's web UI: a window is full at the encoder's length less start and end token; if the
last comma is at most 20 tokens back, what follows it moves to the next window.  A bundle has a fixed number of windows:
the last one is cut, and empty ones follow a short prompt.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)

BACKTRACK = 20
"""Tokens between a comma and the end of a full window, at most, that move to the next window."""
Weighted = tuple[int, float]
"""A token and its weight."""


@dataclass(frozen=True)
class Run:
    """Tokens of one piece of a prompt; a break ends a window instead."""

    tokens: tuple[int, ...]
    weight: float
    is_break: bool = False


@dataclass(frozen=True)
class Divided:
    """The tokens of each window, without start, end and padding."""

    windows: tuple[tuple[Weighted, ...], ...]
    cut: bool
    """Whether tokens did not fit."""


def divide(runs: Sequence[Run], capacity: int, count: int, comma: int | None) -> Divided:
    """Divide a prompt into exactly `count` windows of at most `capacity` tokens; `comma` is the token of a comma."""
    done, window, last_comma = list[list[Weighted]](), list[Weighted](), -1
    for number, run in enumerate(runs):
        if run.is_break:
            if len(done) == count - 1:
                return _divided(done, window, count, any(each.tokens for each in runs[number:]))
            done.append(window)
            window, last_comma = [], -1
        for token in run.tokens:
            full = len(window) == capacity
            if full and len(done) == count - 1:
                return _divided(done, window, count, True)
            if token == comma:
                last_comma = len(window)
            elif full and last_comma >= 0 and len(window) - last_comma <= BACKTRACK:
                done.append(window[: last_comma + 1])
                window, last_comma, full = window[last_comma + 1 :], -1, False
            if full:
                done.append(window)
                window, last_comma = [], -1
            window.append((token, run.weight))
    return _divided(done, window, count, False)


def _divided(done: list[list[Weighted]], window: list[Weighted], count: int, cut: bool) -> Divided:
    windows = [*done, window, *([[]] * (count - len(done) - 1))]
    return Divided(tuple(map(tuple, windows)), cut)


def warn_cut(windows: int, length: int) -> None:
    """Log one warning that the end of a prompt is ignored."""
    logger.warning(
        "the prompt does not fit into %d windows of %d tokens: its end is ignored; shorten it", windows, length
    )
