"""Converts configuration dataclasses to and from JSON; unknown, missing and wrongly typed fields are errors."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

Config = TypeVar("Config")


def to_dict(config: object) -> dict[str, Any]:
    """Convert a configuration dataclass to nested dictionaries and lists, ready for JSON."""
    return dataclasses.asdict(config)  # type: ignore[call-overload]


def from_dict(kind: type[Config], values: object) -> Config:
    """Build a configuration dataclass from the result of `to_dict`, also after a round trip through JSON.

    Raises ConfigError naming an unknown, missing or wrongly typed field.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{kind.__name__}: expected an object, got {type(values).__name__}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{kind.__name__}: unknown field {quoted(unknown[0])}; known are {sorted(hints)}")
    try:
        return kind(**{name: _convert(hints[name], value, name) for name, value in values.items()})
    except TypeError as error:
        raise ConfigError(f"{kind.__name__}: {str(error).split(')', 1)[-1].strip()}") from None


def _convert(hint: Any, value: object, name: str) -> object:
    """Convert `value`, as read from JSON, to the type `hint`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType or origin is typing.Union:
        return _convert_union(arguments, value, name)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"field {quoted(name)}: expected a list, got {quoted(value)}")
        return tuple(_convert(arguments[0], item, name) for item in value)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value)
    if origin is Literal:
        return value
    if hint is float and type(value) in (int, float):
        return float(typing.cast(float, value))
    if type(value) is not hint:
        raise ConfigError(f"field {quoted(name)}: expected {hint.__name__}, got {quoted(value)}")
    return value


def _convert_union(arguments: tuple[Any, ...], value: object, name: str) -> object:
    """Convert to a member of an optional, or of a union of dataclasses that differ in their `kind`."""
    if value is None and type(None) in arguments:
        return None
    classes = [argument for argument in arguments if argument is not type(None)]
    if len(classes) == 1:
        return _convert(classes[0], value, name)
    kind = value.get("kind") if isinstance(value, dict) else None
    by_kind = {cls.kind: cls for cls in classes}
    if kind not in by_kind:
        raise ConfigError(f"field {quoted(name)}: kind is {quoted(kind)}; expected one of {sorted(by_kind)}")
    return from_dict(by_kind[kind], value)
