"""A run with a skip that nobody expects fails, and says which test and why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.expected_skips import LINUX, MAC, unexpected

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests.expected_skips import SkipCheck


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipCheck())
"""


def run(folder: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file of tests."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(body)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={folder}",
        *options,
        str(folder),
    ]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("options", [(), ("--numprocesses=1",)], ids=["alone", "workers"])
def test_a_run_with_an_unexpected_skip_fails(tmp_path: Path, options: tuple[str, ...]) -> None:
    body = "import pytest\ndef test_one(): pytest.skip('too hot')\ndef test_two(): pass\n"
    done = run(tmp_path, body, *options)
    assert done.returncode == 1
    assert "test_it.py::test_one: expected a reason for a skip" in done.stdout and "got 'too hot'" in done.stdout


def test_a_module_that_is_skipped_counts(tmp_path: Path) -> None:
    done = run(tmp_path, "import pytest\npytest.importorskip('no_such_module')\n")
    assert done.returncode != 0 and "no_such_module" in done.stdout and "expected a reason for a skip" in done.stdout


def test_a_run_with_an_expected_skip_passes(tmp_path: Path) -> None:
    body = "import pytest\ndef test_one(): pytest.skip('node is not installed')\ndef test_two(): pass\n"
    done = run(tmp_path, body)
    assert done.returncode == 0 and "expected a reason" not in done.stdout


def test_some_skips_are_of_one_platform() -> None:
    assert unexpected(["macOS has Core ML"], MAC) == []
    assert unexpected(["macOS has Core ML"], LINUX) == ["macOS has Core ML"]
    assert unexpected(["node is not installed, or so"], LINUX) != []
