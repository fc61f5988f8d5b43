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


def integers_or(value: Tensor | None, default: list[int]) -> list[int]:
    """A vector of integers as a list; `default` where it is absent."""
    return default if value is None else integers(value)


def flags(value: Tensor | None, count: int) -> list[bool]:
    """A vector of booleans as a list; absent means all False."""
    return [False] * count if value is None else [bool(item) for item in value.tolist()]


def is_set(value: Tensor | None) -> bool:
    """One boolean; absent means False."""
    return value is not None and bool(value)


def number_or(value: Tensor | None, default: float) -> float:
    """One number; `default` where it is absent."""
    return default if value is None else float(value)


def choose(operation: str, parameter: str, value: str, choices: Mapping[str, Choice]) -> Choice:
    """The entry of `choices`; otherwise ExportError with operation, parameter, value and what is known."""
    if value not in choices:
        raise ExportError(f"{operation}: expected {parameter} to be one of {sorted(choices)}, got {value!r}")
    return choices[value]
