"""Checks fields of configurations against rules, and raises the error for a rule that is violated."""

from __future__ import annotations

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted


def require(condition: bool, owner: object, name: str, rule: str) -> None:
    """Raise ConfigError naming class, field, value and rule unless `condition` is true."""
    if not condition:
        value = getattr(owner, name)
        raise ConfigError(f"{type(owner).__name__}.{name} is {quoted(value)}; expected {rule}")


def require_positive(owner: object, *names: str) -> None:
    """Raise ConfigError unless every named field is above zero."""
    for name in names:
        require(getattr(owner, name) > 0, owner, name, "a positive number")
