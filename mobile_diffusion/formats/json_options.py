"""Reads a component's config.json strictly: every option must be read, or have a value that our network implements.

An option that is left over at the end is unknown, and `finish` raises an error that names it: ignoring it could
produce wrong pictures.  Options that begin with "_" are a library's internal notes and are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.quoting import quoted

Accepted = tuple[object, ...]
EMA_NOTES = ("decay", "min_decay", "optimization_step", "update_after_step", "use_ema_warmup", "inv_gamma", "power")
"""Notes that diffusers' EMAModel writes into the config.json of the network that it averaged; none has an effect."""

UPCAST_SOFTMAX = "upcast_softmax"
"""An argument of diffusers' attention, which no network takes from its config.json.  The default processor never reads
it; AttnProcessor casts half scores to float32 before the softmax, which adds in float32 in any case."""


class JsonOptions:
    """The options of one file that have not been read yet.

    The methods that read an option remove it.  They raise CheckpointError, naming file and option, when the value
    has the wrong type, or when the option is absent and has no default.
    """

    def __init__(self, file: Path, values: Mapping[str, Any]) -> None:
        self.file = file
        self._left = {name: value for name, value in values.items() if not name.startswith("_")}

    def number(self, name: str, default: float | None = None) -> float:
        """Read a number."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "a number", value)
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """Read an integer."""
        value = self._take(name, default)
        if type(value) is not int:
            raise self.wrong(name, "a whole number", value)
        return value

    def whole_list(self, name: str, default: int | list[int] | None = None, length: int | None = None) -> list[int]:
        """Read a list of integers; with `length`, the list must have that length, and one integer is repeated."""
        value = self._take(name, default)
        if length is not None and type(value) is int:
            return [value] * length
        fits = isinstance(value, list) and len(value) > 0 and all(type(item) is int for item in value)
        if not fits or length not in (None, len(value)):
            raise self.wrong(name, "whole numbers" if length is None else f"{length} whole numbers", value)
        return list(value)

    def optional_whole_list(self, name: str, length: int) -> list[int] | None:
        """Read a list as `whole_list` does; None when the option is null or absent."""
        if self._left.get(name) is None:
            self.ignore(name)
            return None
        return self.whole_list(name, length=length)

    def names(self, name: str, default: list[str]) -> list[str]:
        """Read a list of strings."""
        value = self._take(name, default)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, "a list of names", value)
        return list(value)

    def flag(self, name: str, default: bool) -> bool:
        """Read true or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false", value)
        return value

    def optional_whole(self, name: str) -> int | None:
        """Read an integer; None when the option is null or absent."""
        value = self._take(name, None)
        if value is not None and type(value) is not int:
            raise self.wrong(name, "a whole number or null", value)
        return value

    def value(self, name: str, default: object = None) -> object:
        """Read a value of any type."""
        return self._take(name, default)

    def require(self, accepted: Mapping[str, Accepted], hint: str) -> None:
        """Read the named options; raise CheckpointError for the first whose value is not accepted.

        An absent option counts as the first accepted value.  `hint` ends the message.
        """
        for name, values in accepted.items():
            value = self._take(name, values[0])
            if not any(value == one and type(value) in _alike(one) for one in values):
                raise self.wrong(name, " or ".join(map(quoted, values)), value, hint)

    def ignore(self, *names: str) -> None:
        """Skip options that have no effect on the pictures."""
        for name in names:
            self._left.pop(name, None)

    def finish(self) -> None:
        """Raise CheckpointError for the first option, in alphabetical order, that has not been read."""
        if self._left:
            name = min(self._left)
            reason = f"got {quoted(self._left[name])}; mobile-diffusion does not know it, so its effect is unknown"
            raise CheckpointError(f"{self.file}: option {quoted(name)}: expected no such option, {reason}")

    def wrong(self, name: str, expected: str, got: object, hint: str = "correct the file") -> CheckpointError:
        """Build the error for an option with an unexpected value."""
        return CheckpointError(f"{self.file}: option {quoted(name)}: expected {expected}, got {quoted(got)}; {hint}")

    def _take(self, name: str, default: object) -> Any:
        return self._left.pop(name, default)


def _alike(value: object) -> tuple[type, ...]:
    """JSON types that count as the same value: 1 equals 1.0, but true does not equal 1."""
    return (int, float) if type(value) in (int, float) else (type(value),)
