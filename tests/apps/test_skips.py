"""Which languages are skipped, and why: a missing compiler is reported, never passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.apps.languages import LANGUAGES, Language

REQUIRED = frozenset(os.environ.get("APPS_REQUIRED", "").split())
"""The folders of apps/ whose tools were installed: their tests must run."""


def test_no_language_is_skipped_whose_tools_were_installed() -> None:
    assert {language.app.name for language in LANGUAGES} >= REQUIRED, "an unknown folder in APPS_REQUIRED"
    skipped = {language.app.name: language.missing() for language in LANGUAGES}
    assert {name: reason for name, reason in skipped.items() if reason and name in REQUIRED} == {}


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_a_skip_names_the_tools_and_what_installs_them(
    language: Language, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = language.missing()
    assert reason.startswith("no ") and "make" in reason and "g++" in reason and "\n" not in reason
    assert "/install-tools.sh installs what is missing" in reason
