"""Progress of long-running work, reported to a callback, so that only the command line prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Progress = Callable[[str, float], None]
"""Takes a description of the current work, and the finished part of the whole, 0 to 1."""


def silent(what: str, part: float) -> None:
    """Ignore the progress."""


def part_of(progress: Progress, start: float, size: float) -> Progress:
    """Return a callback for one part of the whole, which starts at `start` and has the size `size`."""
    return lambda what, part: progress(what, start + part * size)


def tracked(items: Sequence[Item], what: str, progress: Progress) -> Iterator[Item]:
    """The items one after the other; reports `what` with the share of them that is done."""
    for number, item in enumerate(items):
        progress(what, number / len(items))
        yield item
    progress(what, 1.0)
