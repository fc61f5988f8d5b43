"""What a check of the evidence found: one place of the bundle where two things differ that must be the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from mobile_diffusion.errors import BundleError
from mobile_diffusion.quoting import shortened

_SHOWN = 3
ABSENT = "nothing"


@dataclass(frozen=True)
class Difference:
    """One contradiction."""

    check: str
    """What was checked, such as "schedule"."""
    place: str
    """File and field, such as "manifest.json: schedule.timesteps[0]"."""
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.place}: expected {shortened(self.expected)}, got {shortened(self.got)}"


def require_none(bundle: object, differences: Sequence[Difference]) -> None:
    """Raise one `BundleError` that names the first differences and counts all of them, if there are any."""
    if not differences:
        return
    shown = "; ".join(map(str, differences[:_SHOWN]))
    more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    raise BundleError(
        f"{bundle}: {len(differences)} contradictions: {shown}{more}; do not ship this bundle: export it again"
    )


def difference_table(differences: Sequence[Difference]) -> Table:
    """The differences as a table, one per row."""
    table = Table(title="Contradictions")
    for column in ("check", "place", "expected", "got"):
        table.add_column(column, overflow="fold")
    for each in differences:
        table.add_row(each.check, each.place, shortened(each.expected), shortened(each.got))
    return table


def differing(expected: Any, got: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    """Every leaf in which two trees of plain values differ: its path, and both values as text.

    NaN differs from everything, itself included.

    >>> list(differing({"a": [1, 2]}, {"a": [1, 3], "b": None}))
    [('a[1]', '2', '3'), ('b', 'nothing', 'None')]
    """
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for name in dict.fromkeys((*expected, *got)):
            below = f"{place}.{name}" if place else str(name)
            yield from _pair(name in expected, name in got, expected.get(name), got.get(name), below)
    elif isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        for number in range(max(len(expected), len(got))):
            has, had = number < len(expected), number < len(got)
            pair = (expected[number] if has else None, got[number] if had else None)
            yield from _pair(has, had, *pair, f"{place}[{number}]")
    elif _kind(expected) is not _kind(got) or expected != got:
        yield place, _text(expected), _text(got)


def _pair(has: bool, had: bool, expected: Any, got: Any, place: str) -> Iterator[tuple[str, str, str]]:
    if has and had:
        yield from differing(expected, got, place)
    else:
        yield place, _text(expected) if has else ABSENT, _text(got) if had else ABSENT


def _kind(value: Any) -> type:
    """The type of a leaf; JSON has one kind of number."""
    return float if type(value) is int else type(value)


def _text(value: Any) -> str:
    return repr(value)
