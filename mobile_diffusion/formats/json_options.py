"""A component's config.json, of which every option must be read, or be what our network computes.

An option that is left over when reading ends is one that we do not know, and is named: guessing that it does
not matter would draw wrong pictures.  Options that begin with "_" are a library's notes to itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import CheckpointError

Accepted = tuple[object, ...]


class JsonOptions:
    """The options that have not been read yet; every error names the file and the option."""

    def __init__(self, file: Path, values: Mapping[str, Any]) -> None:
        self.file = file
        self._left = {name: value for name, value in values.items() if not name.startswith("_")}

    def number(self, name: str, default: float | None = None) -> float:
        """A number; raises CheckpointError when it is none, or is absent and has no default."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "a number", value)
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number; raises CheckpointError as `number` does."""
        value = self._take(name, default)
        if type(value) is not int:
            raise self.wrong(name, "a whole number", value)
        return value

    def whole_list(self, name: str, default: int | list[int] | None = None, length: int | None = None) -> list[int]:
        """Whole numbers; with `length`, that many, and a single one stands for all of them."""
        value = self._take(name, default)
        if length is not None and type(value) is int:
            return [value] * length
        fits = isinstance(value, list) and len(value) > 0 and all(type(item) is int for item in value)
        if not fits or length not in (None, len(value)):
            raise self.wrong(name, "whole numbers" if length is None else f"{length} whole numbers", value)
        return list(value)

    def names(self, name: str, default: list[str]) -> list[str]:
        """A list of strings; raises CheckpointError when it is none."""
        value = self._take(name, default)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, "a list of names", value)
        return list(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false; raises CheckpointError when it is neither."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false", value)
        return value

    def optional_whole(self, name: str) -> int | None:
        """A whole number, or None where it is null or absent."""
        value = self._take(name, None)
        if value is not None and type(value) is not int:
            raise self.wrong(name, "a whole number or null", value)
        return value

    def value(self, name: str, default: object = None) -> object:
        """Whatever is there."""
        return self._take(name, default)

    def require(self, accepted: Mapping[str, Accepted], hint: str) -> None:
        """Raise CheckpointError naming the first option that is set to none of its accepted values."""
        for name, values in accepted.items():
            value = self._take(name, values[0])
            if not any(value == one and type(value) in _alike(one) for one in values):
                raise self.wrong(name, " or ".join(repr(one) for one in values), value, hint)

    def ignore(self, *names: str) -> None:
        """Pass over options that change nothing in a picture."""
        for name in names:
            self._left.pop(name, None)

    def finish(self) -> None:
        """Raise CheckpointError naming the first option that nothing has read."""
        if self._left:
            name = min(self._left)
            reason = f"got {self._left[name]!r}; it is not known to mobile-diffusion, which cannot tell what it changes"
            raise CheckpointError(f"{self.file}: option {name!r}: expected no such option, {reason}")

    def wrong(self, name: str, expected: str, got: object, hint: str = "correct the file") -> CheckpointError:
        """The error that an option is not as expected."""
        return CheckpointError(f"{self.file}: option {name!r}: expected {expected}, got {got!r}; {hint}")

    def _take(self, name: str, default: object) -> Any:
        return self._left.pop(name, default)


def _alike(value: object) -> tuple[type, ...]:
    """Types that may stand for a value in JSON: 1 for 1.0, but not true for 1."""
    return (int, float) if type(value) in (int, float) else (type(value),)
