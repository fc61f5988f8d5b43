"""Compares the programs of a bundle, byte by byte, with those of another export of the same checkpoint.

Two exports by the same versions have the same programs, so that a single changed weight shows, however small.
"""

from __future__ import annotations

from collections.abc import Iterator

from export.bundle.bundle import Bundle
from export.evidence.difference import ABSENT, Difference

CHECK = "exported again"


def check_again(bundle: Bundle, again: Bundle) -> list[Difference]:
    """Every file of a program that differs, with the first digits of both SHA-256."""
    one, other = (dict(_programs(each)) for each in (bundle, again))
    return [
        Difference(CHECK, name, other.get(name, ABSENT)[:12], one.get(name, ABSENT)[:12])
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def other_versions(bundle: Bundle, again: Bundle) -> str:
    """The tools whose versions differ, such as "onnx 1.19 and here 1.18"; "" if none does."""
    one, other = ({each.name: each.version for each in made.manifest.tools} for made in (bundle, again))
    differing = [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    return ", ".join(f"{name} {one.get(name, ABSENT)} and here {other.get(name, ABSENT)}" for name in differing)


def _programs(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of every file that belongs to a program, files of weights beside it included."""
    paths = tuple(path for entry in bundle.manifest.runtimes for path in bundle.artifacts(entry).values())
    yield from ((each.path, each.sha256) for each in bundle.manifest.files if each.path.startswith(paths))
