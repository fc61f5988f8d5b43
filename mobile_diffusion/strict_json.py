"""Reads JSON that may come from a stranger.

Strictly means that content which parsers treat differently, such as repeated keys, is an error.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.quoting import quoted, shortened


def parse_json(content: str | bytes, **options: Any) -> Any:
    """Parse JSON as `json.loads` does, with its options; values that are nested too deeply are a ValueError, too."""
    try:
        return json.loads(content, **options)
    except RecursionError:
        raise ValueError("values that are nested too deeply") from None


def parse_strictly(content: bytes, infinite: bool = False) -> Any:
    """Parse JSON; raise ValueError for repeated keys, NaN, infinity and numbers beyond float64.

    `infinite` allows Infinity and -Infinity.
    """
    constant = _infinite_float if infinite else _finite_float
    return parse_json(content, object_pairs_hook=_unique_keys, parse_constant=constant, parse_float=_finite_float)


def read_object(file: Path, infinite: bool = False) -> dict[str, Any]:
    """Read the JSON object in a file as `parse_strictly` does; raise CheckpointError when it is not valid."""
    try:
        values = parse_strictly(file.read_bytes(), infinite)
    except FileNotFoundError as error:
        raise CheckpointError(f"{file}: expected a configuration, got no such file; restore it") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: expected JSON, got: {error}; fetch it again") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: expected a JSON object, got {type(values).__name__}; fetch it again")
    return values


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {quoted(next(name for name in names if names.count(name) > 1))} twice")
    return values


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shortened(text)}")
    return value


def _infinite_float(text: str) -> float:
    value = float(text)
    if math.isnan(value):
        raise ValueError(f"the number {shortened(text)}")
    return value
