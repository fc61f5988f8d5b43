"""What the Android app's tests build: libraries and programs, by the Makefile that a user calls.

Without a tool the tests that need it are skipped with the reason; `apps/android/install-tools.sh` installs all.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "apps" / "android"
PROGRAMS = ("java", "javac", "make", "g++")
JARS = (Path("/usr/share/java/junit4.jar"), Path("/usr/share/java/hamcrest-core.jar"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mobile-diffusion"
KOTLIN = CACHE / "kotlin"
KOTLIN_FILES = (KOTLIN / "node_modules/kotlin-compiler/lib/kotlin-compiler.jar", KOTLIN / "ktlint.jar")

Run = Callable[..., subprocess.CompletedProcess[str]]


def require_tools() -> None:
    """Skip unless everything is installed."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    missing += [path.name for path in (*JARS, *KOTLIN_FILES) if not path.is_file()]
    if missing:
        pytest.skip(f"no {', '.join(missing)}; apps/android/install-tools.sh installs what is missing")


def make(*targets: str) -> str:
    """Build, or fail with what the compiler said; one process of the tests at a time.  Gives the standard output."""
    require_tools()
    (SOURCE / "build").mkdir(exist_ok=True)
    with (SOURCE / "build" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-s", "-C", str(SOURCE), *targets], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="session")
def draw() -> Run:
    """Starts the host program with one thread, unless told otherwise; `options` are Java's."""
    make("host")

    def start(*arguments: object, options: str = "") -> subprocess.CompletedProcess[str]:
        given = list(map(str, arguments))
        threads = [] if "--threads" in given else ["--threads", "1"]
        command = [str(SOURCE / "build" / "host" / "draw"), *threads, *given]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "JAVA_OPTS": options})

    return start
