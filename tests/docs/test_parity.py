"""The page of judges is true: every test that it names exists."""

from __future__ import annotations

import re

import pytest

from tests.docs.documents import ROOT

PAGE = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_a_named_test_exists(file: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_row_names_one() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not re.fullmatch(r"[|-]+", line)]
    assert len(TESTS) == len(rows) - PAGE.count("| test |") > 20
