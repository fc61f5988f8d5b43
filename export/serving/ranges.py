"""The part of a file that a request asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re

_ONE = re.compile(r"bytes=(\d*)-(\d*)")


class Unsatisfiable(Exception):
    """The range begins behind the end of the file."""


def chosen_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the end (exclusive) of a `Range`; None to send the whole file.

    Several ranges, another unit and malformed headers are ignored, as the standard allows.  Raises `Unsatisfiable`.

    >>> chosen_range("bytes=10-", 100), chosen_range("bytes=-10", 100), chosen_range("bytes=0-0", 100)
    ((10, 100), (90, 100), (0, 1))
    """
    found = _ONE.fullmatch(header.strip()) if header and len(header) < 100 else None
    if found is None or found.group(1, 2) == ("", ""):
        return None
    first, last = found.group(1, 2)
    if first == "":
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size or start >= end:
        raise Unsatisfiable
    return start, end
