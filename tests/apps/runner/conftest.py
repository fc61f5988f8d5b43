"""The C++ programs, built as a user builds them; a test is skipped with the reason where that is not possible."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apps.conftest import refused
from tests.apps.languages import LANGUAGES, PRELOAD, RUNNER, Done, arm_missing, make
from tests.apps.runner.probe import BUILT

CPP = LANGUAGES[0]
SYSROOT = "/usr/aarch64-linux-gnu"

Run = Callable[..., Done]


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder with `runner` and `probe` for this machine."""
    CPP.require()
    return BUILT


@pytest.fixture(scope="session")
def arm_runner() -> Path:
    """The runner for 64-bit ARM."""
    if reason := arm_missing():
        pytest.skip(reason)
    make(RUNNER, "aarch64")
    return RUNNER / "build" / "aarch64" / "runner"


@pytest.fixture(scope="session")
def run(built: Path) -> Run:
    """Starts the runner with one thread, unless told otherwise; with an environment, tests/preload.cpp acts on it."""

    def start(
        *arguments: object, user: int | None = None, address_space: int | None = None, **environment: str
    ) -> Done:
        given = list(map(str, arguments))
        threads = [] if "--threads" in given else ["--threads", "1"]
        limit = [] if address_space is None else ["prlimit", f"--as={address_space}"]
        command = [*limit, str(built / "runner"), *threads, *given]
        changed = {**os.environ, **PRELOAD, **environment} if environment else None
        return subprocess.run(command, capture_output=True, text=True, env=changed, user=user)

    return start


def refusal(run: Run, *arguments: object) -> str:
    """The one line with which the runner refuses its arguments."""
    return refused(run(*arguments))
