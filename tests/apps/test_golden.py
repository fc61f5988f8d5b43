"""Every language computes the golden files, in every locale, and has the tables of characters of the exporter."""

from __future__ import annotations

import runpy

import pytest

from tests.apps.languages import GOLDEN_CHECKS, LIBRARIES, RUNNER, Library


@pytest.mark.parametrize("check", GOLDEN_CHECKS)
def test_golden_files(check: str, library: Library) -> None:
    library.golden((check,), {})


def test_golden_files_in_another_locale(library_locale: dict[str, str], library: Library) -> None:
    library.golden(GOLDEN_CHECKS, library_locale)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_tables_of_characters_are_those_of_the_installed_library(library: Library) -> None:
    function, file = library.tables
    made = runpy.run_path(str(RUNNER / "make_unicode_tables.py"))[function]()
    assert file.read_text(encoding="ascii") == made
