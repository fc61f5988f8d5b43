"""Repeats a value of a file in an error message: never more than `LIMIT` characters of it, on one line.

A message about a damaged file must stay readable, whatever the file contains: a list of a million numbers, a name of
a megabyte, a line break.  Every message that repeats a value uses `quoted` or `shortened`.
"""

from __future__ import annotations

LIMIT = 200
"""Most characters of a value in a message."""
CUT = "..."


def quoted(value: object) -> str:
    """The value as Python writes it, at most `LIMIT` characters."""
    if isinstance(value, str | bytes | list | tuple):
        value = value[: LIMIT + 1]  # so that a value of a gigabyte is not written out
    try:
        return shortened(repr(value))
    except (ValueError, RecursionError):  # an integer of thousands of digits, or lists nested as deeply
        return f"a value of type {type(value).__name__} that is too large to show"


def shortened(text: object) -> str:
    """The text on one line, at most `LIMIT` characters."""
    line = " ".join(str(text)[: 2 * LIMIT].split())
    return line if len(line) <= LIMIT else line[: LIMIT - len(CUT)] + CUT
