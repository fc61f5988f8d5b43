"""Reads a YAML file that somebody else wrote: plain values of a small size, and one error for everything else.

YAML can state what Python cannot hold (the 45th of a month), what it cannot print (an integer of 5,001 digits), and in
a few lines what no memory holds (aliases of aliases).  Settings of a model contain none of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

MAX_BYTES = 2**20
"""Published configurations have a few kilobytes."""
MAX_VALUES = 10_000
"""Values in a file, each alias counted as often as it is used."""
MAX_BITS = 64
"""Bits of an integer."""


def read_yaml(file: Path) -> Any:
    """The content of a YAML file: mappings, lists, strings, numbers, dates, booleans and null.

    Raises ValueError when it is not such a file, is larger than MAX_BYTES or has more than MAX_VALUES values; OSError
    when it cannot be read.
    """
    import yaml  # imported here because few checkpoints have a YAML file

    with file.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        values = yaml.safe_load(content.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("values that are nested too deeply") from error
    except Exception as error:  # PyYAML raises whatever Python does for a date or a number that it cannot hold
        raise ValueError(f"{error or type(error).__name__}") from error
    _check(values)
    return values


def _check(values: Any) -> None:
    """Raise ValueError for too many values, an endless alias, or an integer that is too large."""
    waiting, count = [values], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise ValueError(f"an integer of {value.bit_length()} bits")
        if isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list | tuple | set):
            waiting += value
