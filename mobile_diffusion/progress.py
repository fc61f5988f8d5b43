"""How long-running work reports what it does: a callback, so that nothing below the command line prints."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with what is being done, and the finished part of the whole, 0 to 1."""


def silent(what: str, part: float) -> None:
    """Progress that is not shown."""


def part_of(progress: Progress, start: float, size: float) -> Progress:
    """Progress of one part of the whole, which starts at `start` and has the size `size`."""
    return lambda what, part: progress(what, start + part * size)
