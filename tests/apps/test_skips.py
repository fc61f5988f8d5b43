"""Which tests are skipped, and why: a missing compiler is reported, never passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.apps.languages import LIBRARIES, SKIPS

REQUIRED = frozenset(os.environ.get("APPS_REQUIRED", "").split())
"""The folders of apps/ whose tools were installed: their tests must run."""


def test_no_test_is_skipped_whose_tools_were_installed() -> None:
    assert set(SKIPS) == {library.app.name for library in LIBRARIES}
    assert set(SKIPS) >= REQUIRED, "an unknown folder in APPS_REQUIRED"
    assert [reason for name in REQUIRED for missing in SKIPS[name] if (reason := missing())] == []


@pytest.mark.parametrize(("app", "number"), [(app, number) for app in SKIPS for number in range(len(SKIPS[app]))])
def test_a_skip_names_the_tools_and_what_installs_them(
    app: str, number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = SKIPS[app][number]()
    assert reason.startswith("no ") and reason.endswith("/install-tools.sh installs what is missing")
    assert "\n" not in reason
