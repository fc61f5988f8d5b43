"""The names of the repository's files: a clone must be whole on every file system."""

from __future__ import annotations

import subprocess
import unicodedata
from collections import defaultdict
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]


def tracked() -> list[str]:
    """Every path that git tracks."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout; run the tests in a clone")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    return done.stdout.decode().strip("\0").split("\0")


def clashes(paths: list[str]) -> list[set[str]]:
    """Files and folders whose names differ only in case or in Unicode's forms: a Mac takes them for one."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in map(PurePosixPath, paths):
        for name in map(str, (path, *path.parents)):
            found[unicodedata.normalize("NFC", name).casefold()].add(name)
    return [names for names in found.values() if len(names) > 1]


def test_no_two_paths_differ_only_in_case() -> None:
    assert len(tracked()) > 500
    assert clashes(tracked()) == []


def test_clashing_folders_are_found() -> None:
    paths = ["Sample/Models/Row.swift", "Sample/models/README.md", "Sample/App.swift"]
    assert clashes(paths) == [{"Sample/Models", "Sample/models"}]
