"""Compares the programs of a bundle, byte by byte, with those of another export of the same checkpoint.

Two exports by the same versions have the same programs, so that a single changed weight shows, however small, and is
named (constants.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from export.bundle.bundle import Bundle
from export.evidence.constants import first_difference
from export.evidence.difference import ABSENT, Difference

CHECK = "exported again"


def check_again(bundle: Bundle, again: Bundle) -> list[Difference]:
    """What differs in each program: its first constant, or, if those are the same, its files by their SHA-256.

    Raises `ExportError` if a program that differs cannot be read.
    """
    found = []
    for entry in bundle.manifest.runtimes:
        for path in bundle.artifacts(entry).values():
            files = list(_files(bundle, again, path))
            constant = first_difference(entry.name, again.path / path, bundle.path / path) if files else None
            if constant is None:
                found += files
            else:
                found.append(Difference(CHECK, f"{path}: {constant[0]}", *constant[1:]))
    return found


def other_versions(bundle: Bundle, again: Bundle) -> str:
    """The tools whose versions differ, such as "onnx 1.19 and here 1.18"; "" if none does."""
    one, other = ({each.name: each.version for each in made.manifest.tools} for made in (bundle, again))
    differing = [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    return ", ".join(f"{name} {one.get(name, ABSENT)} and here {other.get(name, ABSENT)}" for name in differing)


def _files(bundle: Bundle, again: Bundle, program: str) -> Iterator[Difference]:
    """Every file of a program that differs, files of weights beside it included."""
    one, other = (
        {each.path: each.sha256 for each in made.manifest.files if each.path.startswith(program)}
        for made in (bundle, again)
    )
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield Difference(CHECK, name, other.get(name, ABSENT)[:12], one.get(name, ABSENT)[:12])
