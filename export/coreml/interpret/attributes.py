"""Reads the attributes of the interpreter's operations.

Each parameter of a MIL operation is a tensor, a string or None.  These functions turn tensors into numbers.  For values
that are not implemented they raise an error that names operation, parameter and value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

Choice = TypeVar("Choice")


def integers(value: Tensor) -> list[int]:
    """Return a vector of integers (or one number) as a list."""
    return [int(item) for item in value.reshape(-1).tolist()]


def integers_or(value: Tensor | None, default: list[int]) -> list[int]:
    """Return a vector of integers as a list; `default` if it is absent."""
    return default if value is None else integers(value)


def flags(value: Tensor | None, count: int) -> list[bool]:
    """Return a vector of booleans as a list; all False if it is absent."""
    return [False] * count if value is None else [bool(item) for item in value.tolist()]


def is_set(value: Tensor | None) -> bool:
    """Return one boolean; False if it is absent."""
    return value is not None and bool(value)


def number_or(value: Tensor | None, default: float) -> float:
    """Return one number; `default` if it is absent."""
    return default if value is None else float(value)


def choose(operation: str, parameter: str, value: str, choices: Mapping[str, Choice]) -> Choice:
    """Return an entry of `choices`; raises `ExportError` with the choices if `value` is not one of them."""
    if value not in choices:
        raise ExportError(f"{operation}: expected {parameter} to be one of {sorted(choices)}, got {quoted(value)}")
    return choices[value]
