"""Runs commands in odd environments, each in a process of its own: locale, umask, home, user, processor, folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.paths import ROOT
from benchmarks.robustness.forked import Ended
from benchmarks.robustness.kills import Row, empty

NOBODY = 12345
"""A user and group without a name."""
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@dataclass(frozen=True)
class Environment:
    """How a command is started."""

    name: str
    variables: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    """Variables that are not set."""
    enter: Callable[[], object] = lambda: None
    """Called in the new process."""


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def _may_start_python() -> bool:
    """Whether the other user may read the interpreter: it may be in a folder that is root's alone."""
    try:
        done = subprocess.run([sys.executable, "-c", ""], preexec_fn=_become_nobody, capture_output=True)
    except PermissionError:
        return False
    return done.returncode == 0


def _stand_in_removed_folder() -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def environments(work: Path) -> list[Environment]:
    """Those that this machine can have."""
    odd = work / "tmp ä 'x'"
    odd.mkdir(exist_ok=True)
    found = [
        Environment("locale C without UTF-8", C_LOCALE),
        Environment("umask 077", enter=lambda: os.umask(0o077)),
        Environment("umask 000", enter=lambda: os.umask(0)),
        Environment("no HOME", without=("HOME", "XDG_CACHE_HOME")),
        Environment("HOME that is no folder", {"HOME": "/dev/null"}),
        Environment("TMPDIR with a space, a quote and an umlaut", {"TMPDIR": str(odd)}),
        Environment("TMPDIR that is not there", {"TMPDIR": str(work / "absent")}),
        Environment("working folder removed", enter=_stand_in_removed_folder),
        Environment("one processor", enter=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})),
    ]
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout if shutil.which("locale") else ""
    if "tr_TR.utf8" in listed:
        found.append(Environment("Turkish", {"LC_ALL": "tr_TR.UTF-8"}))
    if os.geteuid() == 0 and _may_start_python():
        found.append(
            Environment("a user without a name or home", without=("HOME", "USER", "LOGNAME"), enter=_become_nobody)
        )
    return found


def in_environments(name: str, words: Callable[[Path], list[str]], work: Path) -> Row:
    """Run one command in each: it works, or says one line."""
    row = Row(name, "odd environments")
    for environment in environments(work):
        place = empty(work / "place")
        place.chmod(0o777)
        ended = start_in(environment, words(place))
        row.cases += 1
        row.unfinished += ended.status != 0
        row.whole += ended.status == 0
        row.demand(not ended.problem(), f"{environment.name}: {ended.problem()}")
    return row


def start_in(environment: Environment, words: list[str]) -> Ended:
    """Run `mobile-diffusion WORDS` to its end."""
    variables = {key: value for key, value in os.environ.items() if key not in (*environment.without, "LD_PRELOAD")}
    done = subprocess.run(
        [sys.executable, "-m", "export.cli.main", *words],
        env=variables | {"PYTHONPATH": str(ROOT)} | environment.variables,
        preexec_fn=environment.enter,
        cwd=ROOT,
        capture_output=True,
    )
    return Ended(done.returncode, done.stderr.decode("utf-8", "replace"), 0.0)
