"""What changed between two bundles: description, programs, sizes, parity and latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from export.bundle.bundle import Bundle
from export.comparison.summary import Summary, summarise_bundle
from export.evidence.difference import differing
from mobile_diffusion.config_json import to_dict
from mobile_diffusion.quoting import shortened
from mobile_diffusion.units import readable

DESCRIBED = ("target", "model", "stages", "runtimes", "schedule", "tokenizer", "tools")
"""Fields of the manifest that are compared leaf by leaf; the others are figures, or follow from the files."""
NONE = ""


@dataclass(frozen=True)
class Change:
    """One thing that is not the same in both."""

    kind: str
    """ "description", "weights", "file", "size", "parity" or "latency"."""
    place: str
    before: str
    after: str
    change: float | None = None
    """B relative to A: decibels for parity, else the factor; None for what is no number."""


def compare_bundles(before: Bundle, after: Bundle) -> list[Change]:
    """Every change from one bundle to the other, in the order in which a reader asks for it."""
    old, new = summarise_bundle(before), summarise_bundle(after)
    return [
        *_description(before, after),
        *_programs(old, new),
        *_files(before, after),
        *_sizes(old, new),
        *_parity(old, new),
        *_latency(old, new),
    ]


def changes_table(changes: list[Change], before: object, after: object) -> Table:
    """The changes as a table."""
    table = Table(title=f"From {before} to {after}")
    for column in ("what", "place", "A", "B", "change"):
        table.add_column(column, overflow="fold", justify="right" if column == "change" else "left")
    for each in changes:
        table.add_row(each.kind, each.place, shortened(each.before), shortened(each.after), _change_text(each))
    return table


def _change_text(change: Change) -> str:
    if change.change is None:
        return ""
    return f"{change.change:+.1f} dB" if change.kind == "parity" else f"x {change.change:.3f}"


def _description(before: Bundle, after: Bundle) -> Iterator[Change]:
    one, other = ({name: to_dict(each.manifest)[name] for name in DESCRIBED} for each in (before, after))
    for place, old, new in differing(one, other):
        yield Change("description", place, old, new)


def _programs(old: Summary, new: Summary) -> Iterator[Change]:
    """Programs whose bytes differ, and those that only one has."""
    pair = [{(each.runtime, each.stage): each for each in summary.programs} for summary in (old, new)]
    for key, one, other in _joined(*pair):
        place = " ".join(key)
        if one is None or other is None:
            yield Change("weights", place, one.grade if one else NONE, other.grade if other else NONE)
        elif one.sha256 != other.sha256:
            yield Change("weights", place, _short(one.sha256), _short(other.sha256))


def _files(before: Bundle, after: Bundle) -> Iterator[Change]:
    """Files that are not part of a program."""
    for path, one, other in _joined(*map(_other_files, (before, after))):
        if one != other:
            yield Change("file", path, _short(one), _short(other))


def _other_files(bundle: Bundle) -> dict[str, str]:
    """Path -> hash."""
    programs = [path for runtime in bundle.manifest.runtimes for path in bundle.artifacts(runtime).values()]
    inside = {entry.path for path in programs for entry in bundle.files_of(path)}
    return {entry.path: entry.sha256 for entry in bundle.manifest.files if entry.path not in inside}


def _sizes(old: Summary, new: Summary) -> Iterator[Change]:
    pair = [
        {"all files": summary.bytes} | {f"{each.runtime} {each.stage}": each.bytes for each in summary.programs}
        for summary in (old, new)
    ]
    for place, one, other in _joined(*pair):
        if one is not None and other is not None and one != other:
            yield Change("size", place, readable(one), readable(other), other / one if one else None)


def _parity(old: Summary, new: Summary) -> Iterator[Change]:
    pair = [{(each.runtime, each.check): each.worst for each in summary.parity} for summary in (old, new)]
    for key, one, other in _joined(*pair):
        if one is not None and other is not None and one != other:
            yield Change("parity", " ".join(key), f"{one:.1f} dB", f"{other:.1f} dB", other - one)


def _latency(old: Summary, new: Summary) -> Iterator[Change]:
    """Ratios to PyTorch; those of two exports of one model differ, too."""
    pair = [{(each.runtime, each.stage): each.ratio for each in summary.latency} for summary in (old, new)]
    for key, one, other in _joined(*pair):
        if one is not None and other is not None and one != other:
            yield Change("latency", " ".join(key), f"{one:.2f}", f"{other:.2f}", other / one)


def _short(digest: str | None) -> str:
    return NONE if digest is None else f"{digest[:12]}..."


def _joined(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Every key of either, with both values."""
    for key in dict.fromkeys((*one, *other)):
        yield key, one.get(key), other.get(key)
