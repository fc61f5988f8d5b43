"""One line of `mobile-diffusion doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from mobile_diffusion.quoting import quoted

OK, OPTIONAL, WRONG = "ok", "optional", "wrong"
STATES = (OK, OPTIONAL, WRONG)
"""As it should be; absent, but only some commands need it; to be fixed before anything is exported."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what was found."""

    name: str
    state: str
    """One of STATES."""
    found: str
    fix: str = ""
    """What to do; empty if the state is "ok"."""

    def __post_init__(self) -> None:
        if self.state not in STATES or bool(self.fix) == (self.state == OK):
            raise ValueError(
                f"{self.name}: expected a fix unless the state is ok, got {quoted(self.state)}, {quoted(self.fix)}"
            )
