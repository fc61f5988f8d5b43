"""How an operation of the interpreter reads its attributes.

Every parameter of a MIL operation arrives as a tensor, a string or None; these turn tensors into numbers,
and refuse what is not implemented by naming operation, parameter and value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from mobile_diffusion.errors import ExportError

Choice = TypeVar("Choice")


def integers(value: Tensor) -> list[int]:
    """A vector (or one number) of integers as a list."""
    return [int(item) for item in value.reshape(-1).tolist()]


def flags(value: Tensor | None, count: int) -> list[bool]:
    """A vector of booleans as a list; absent means all False."""
    return [False] * count if value is None else [bool(item) for item in value.tolist()]


def choose(operation: str, parameter: str, value: str, choices: Mapping[str, Choice]) -> Choice:
    """The entry of `choices`; otherwise ExportError with operation, parameter, value and what is known."""
    if value not in choices:
        raise ExportError(f"{operation}: expected {parameter} to be one of {sorted(choices)}, got {value!r}")
    return choices[value]


def require(operation: str, parameter: str, value: object, expected: object) -> None:
    """ExportError unless a parameter has the one value that is implemented."""
    if value != expected:
        raise ExportError(f"{operation}: expected {parameter} to be {expected!r}, got {value!r}")
