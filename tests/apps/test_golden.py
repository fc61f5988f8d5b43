"""Every language computes the golden files, in every locale, and has the tables of characters of the exporter."""

from __future__ import annotations

import runpy

import pytest

from tests.apps.languages import GOLDEN_CHECKS, LANGUAGES, RUNNER, Language


@pytest.mark.parametrize("check", GOLDEN_CHECKS)
def test_golden_files(check: str, language: Language) -> None:
    language.golden((check,), {})


def test_golden_files_in_another_locale(locale: dict[str, str], language: Language) -> None:
    language.golden(GOLDEN_CHECKS, locale)


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_tables_of_characters_are_those_of_the_installed_library(language: Language) -> None:
    function, file = language.tables
    made = runpy.run_path(str(RUNNER / "make_unicode_tables.py"))[function]()
    assert file.read_text(encoding="ascii") == made
