"""Progress of long-running work, reported to a callback, so that only the command line prints."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Takes a description of the current work, and the finished part of the whole, 0 to 1."""


def silent(what: str, part: float) -> None:
    """Ignore the progress."""


def part_of(progress: Progress, start: float, size: float) -> Progress:
    """Return a callback for one part of the whole, which starts at `start` and has the size `size`."""
    return lambda what, part: progress(what, start + part * size)
