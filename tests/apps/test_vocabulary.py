"""The words of docs/apps.md are those of the programs: the same thing has the same name everywhere."""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path
from typing import Any

import pytest
import typer

from export.cli import main
from tests.apps.languages import ANDROID, IOS, RUNNER, WEB_APP

TABLE = Path(__file__).parents[2] / "docs" / "apps.md"
OPTION = re.compile(r"^ *--([a-z][a-z-]+)", re.MULTILINE)


def usage(path: Path) -> set[str]:
    """The options that the usage text in a source file lists."""
    return set(OPTION.findall(path.read_text()))


def programs() -> dict[str, Set[str]]:
    """Column of the table -> the program's words."""
    group: Any = typer.main.get_command(main.build_app())
    names = (name for each in group.commands["generate"].params for name in each.opts)
    kotlin = ANDROID / "host/src/main/kotlin/org/mobilediffusion/host/Options.kt"
    swift = IOS / "MobileDiffusionKit/Sources/draw/Options.swift"
    activity = ANDROID / "app/src/main/kotlin/org/mobilediffusion/sample/BenchmarkActivity.kt"
    extras = re.findall(r'Extra\("([a-z]+)"', activity.read_text())
    (parameters,) = re.findall(r"PARAMETERS = \[(.+?)\]", (WEB_APP / "page/address.ts").read_text(), re.DOTALL)
    return {
        "`generate`": {name.removeprefix("--") for name in names if name.startswith("--")},
        "C++ runner": usage(RUNNER / "src/options.cpp"),
        "Kotlin host": usage(kotlin),
        "Swift host": usage(swift),
        "`am start`": set(extras),
        "page in a browser": set(re.findall(r'"([a-z-]+)"', parameters)),
    }


def table() -> dict[str, dict[str, bool]]:
    """Word -> column -> whether the program has it."""
    lines = TABLE.read_text().split("## One vocabulary")[1].split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    head = rows[0][2:]
    return {row[0].strip("`"): dict(zip(head, [cell == "yes" for cell in row[2:]], strict=True)) for row in rows[2:]}


@pytest.mark.parametrize("column", programs())
def test_a_program_has_the_words_that_the_table_says(column: str) -> None:
    found = programs()[column]
    assert {word for word, has in table().items() if has[column]} == found & set(table())


def test_a_word_of_two_programs_is_in_the_table() -> None:
    every = [word for words in programs().values() for word in words]
    assert {word for word in every if every.count(word) > 1} - set(table()) <= {"help", "sequential", "benchmark"}
