"""The C++ programs, built as a user builds them.

Without a compiler the tests that need one are skipped with the reason; `apps/runner/install-tools.sh` installs all.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.apps.conftest import ROOT

SOURCE = ROOT / "apps" / "runner"
TOOLS = ("g++", "make")
ARM_TOOLS = ("make", "aarch64-linux-gnu-g++", "qemu-aarch64-static")
HEADER = Path("/usr/include/nlohmann/json.hpp")
SYSROOT = "/usr/aarch64-linux-gnu"

Ask = Callable[[Sequence[dict[str, Any]]], list[Any]]
Run = Callable[..., subprocess.CompletedProcess[str]]


def require_tools(tools: Sequence[str]) -> None:
    """Skip unless everything is installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None] + ([] if HEADER.is_file() else [HEADER.name])
    if missing:
        pytest.skip(f"no {', '.join(missing)}; apps/runner/install-tools.sh installs what is missing")


def make(*targets: str) -> None:
    """Build, or fail with what the compiler said; one process of the tests at a time."""
    (SOURCE / "build").mkdir(exist_ok=True)
    with (SOURCE / "build" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-C", str(SOURCE), *targets], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder with `runner` and `probe` for this machine."""
    require_tools(TOOLS)
    make("runner", "probe", "preload")
    return next((SOURCE / "build").glob("*/probe")).parent


@pytest.fixture(scope="session")
def arm_runner() -> Path:
    """The runner for 64-bit ARM."""
    require_tools(ARM_TOOLS)
    make("aarch64")
    return SOURCE / "build" / "aarch64" / "runner"


@pytest.fixture(scope="session")
def ask(built: Path) -> Ask:
    """Puts questions to the probe, all at once, and gives its answers."""

    def put(questions: Sequence[dict[str, Any]]) -> list[Any]:
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        done = subprocess.run([built / "probe"], input=lines, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return put


@pytest.fixture(scope="session")
def run(built: Path) -> Run:
    """Starts the runner with one thread, unless told otherwise; with an environment, tests/preload.cpp acts on it."""

    def start(
        *arguments: object, user: int | None = None, address_space: int | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        given = list(map(str, arguments))
        threads = [] if "--threads" in given else ["--threads", "1"]
        limit = [] if address_space is None else ["prlimit", f"--as={address_space}"]
        command = [*limit, str(built / "runner"), *threads, *given]
        changed = {**os.environ, "LD_PRELOAD": str(built / "preload.so"), **environment} if environment else None
        return subprocess.run(command, capture_output=True, text=True, env=changed, user=user)

    return start
