"""What the iOS app's tests build: the Swift package and its programs, by the Makefile that a user calls.

Without the toolchain, or without the right to run it, the tests are skipped with the reason;
`apps/ios/install-tools.sh` installs it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "apps" / "ios"
KIT = SOURCE / "MobileDiffusionKit"
PROGRAMS = ("make", "g++", "unshare")
UNAVAILABLE = 69
"""What swift.sh ends with when there is no toolchain, or no right to run it."""

Run = Callable[..., subprocess.CompletedProcess[str]]


@cache
def missing_tools() -> str:
    """What is missing to build, in one line; "" for nothing."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}; apps/runner/install-tools.sh installs g++ and make"
    done = subprocess.run([SOURCE / "swift.sh", "true"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode == UNAVAILABLE else ""


def require_tools() -> None:
    """Skip unless Swift can be run here."""
    if missing_tools():
        pytest.skip(missing_tools())


def make(*targets: str) -> str:
    """Build, or fail with what the compiler said; one process of the tests at a time.  Gives what it printed."""
    require_tools()
    (SOURCE / "build").mkdir(exist_ok=True)
    with (SOURCE / "build" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-s", "-C", str(SOURCE), *targets]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@pytest.fixture(scope="session")
def draw() -> Run:
    """Starts the host program with one thread, unless told otherwise."""
    make("draw")

    def start(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        given = [each if isinstance(each, bytes) else str(each) for each in arguments]
        threads = [] if "--threads" in given else ["--threads", "1"]
        command = [str(SOURCE / "build" / "draw"), *threads, *given]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})

    return start
