"""The table of what was opened, in docs/checkpoints.md: every test that it names exists, and none is missing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "mobile_diffusion"
TABLE = re.search(
    r"<!-- opened -->\n(.*?)<!-- /opened -->", (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8"), re.DOTALL
)
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (TABLE[1] if TABLE else "").strip().splitlines()[2:]
]
NAMED = [row for row in ROWS if row[3]]


def test_the_table_has_rows() -> None:
    assert len(NAMED) >= 40 and all(len(row) == 4 for row in ROWS)


@pytest.mark.parametrize("row", NAMED, ids=lambda row: row[3].strip("`"))
def test_the_named_test_exists(row: list[str]) -> None:
    path, name = row[3].strip("`").split("::")
    functions = {
        node.name
        for node in ast.parse((TESTS / path).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert name in functions


def test_every_generation_that_is_tested_is_in_the_table() -> None:
    files = sorted((TESTS / "formats" / "generations").glob("*.json"))
    assert len(files) >= 7
    versions = {file.stem.removeprefix("diffusers-") for file in files}
    assert versions <= set(re.findall(r"\d+\.\d+\.\d+", " ".join(row[0] for row in ROWS)))


def test_every_test_against_a_tool_that_merges_a_lora_is_in_the_table() -> None:
    """A kind of LoRA that is tested against a library, and that users cannot find in the table, may as well not be."""
    named = {row[3].strip("`").split("::")[1] for row in NAMED}
    kinds = ast.parse((TESTS / "formats" / "test_lora_kinds.py").read_text(encoding="utf-8")).body
    compared = {node.name for node in kinds if isinstance(node, ast.FunctionDef) and "_merge" in node.name}
    assert compared - named <= {"test_kohyas_names_of_lycoris_merge_as_peft_merges"}
