"""How long-running work tells what it does: a callback, so that nothing below the command line prints."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Told what is being done and the part of the whole, 0 to 1, that is behind."""


def silent(what: str, part: float) -> None:
    """Progress that nobody watches."""


def part_of(progress: Progress, start: float, size: float) -> Progress:
    """Progress of a part of the whole."""
    return lambda what, part: progress(what, start + part * size)
