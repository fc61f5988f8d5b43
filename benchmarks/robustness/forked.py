"""Runs commands of the command line in forks of this process, disturbed by disturb.c.

A fork has every package imported already, so that a command costs what it does and not what Python's start costs.
Moments are in seconds of the command's own processor time: other work on the machine does not move them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from export.cli import guard
from export.cli.main import build_app

_LOOK = 0.005
"""Seconds between two looks at a command that is to be killed."""
_HANG = 600
"""Seconds after which a command counts as one that hangs."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    """Exit status, or minus the signal."""
    stderr: str
    seconds: float
    """Of processor time."""

    def problem(self) -> str:
        """What is wrong with its words, "" if nothing: it succeeds, is killed, or says one line."""
        if "Traceback" in self.stderr:
            return f"a traceback: {self.stderr.strip().splitlines()[-1][:200]}"
        errors = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        if self.status > 0 and len(errors) != 1:
            return f"status {self.status} with {len(errors)} lines of error"
        return f"ended by signal {-self.status}" if self.status < 0 and self.status != -signal.SIGKILL else ""


@dataclass(frozen=True)
class Running:
    """A command that has been started."""

    pid: int
    log: Path

    def wait(self, kill_after: float | None = None) -> Ended:
        """Wait for its end, or kill it after so much processor time."""
        if kill_after is not None:
            self._kill_after(kill_after)
        else:
            _wait(self.pid)
        _, status, usage = os.wait4(self.pid, 0)
        seconds = usage.ru_utime + usage.ru_stime
        return Ended(os.waitstatus_to_exitcode(status), self.log.read_text("utf-8", "replace"), seconds)

    def _kill_after(self, seconds: float) -> None:
        process, descriptor = psutil.Process(self.pid), os.pidfd_open(self.pid)
        while not select.select([descriptor], [], [], _LOOK)[0]:
            times = process.cpu_times()
            if times.user + times.system >= seconds:
                process.kill()
        os.close(descriptor)


def start(words: Sequence[str], log: Path, prepare: Callable[[], object] = lambda: None, **environment: str) -> Running:
    """Start `mobile-diffusion WORDS` with variables of disturb.c; `prepare` is called in its process."""
    pid = os.fork()
    if pid == 0:
        _work(words, log, prepare, environment)
    return Running(pid, log)


def run(words: Sequence[str], log: Path, prepare: Callable[[], object] = lambda: None, **environment: str) -> Ended:
    """The same to its end."""
    return start(words, log, prepare, **environment).wait()


def _work(words: Sequence[str], log: Path, prepare: Callable[[], object], environment: dict[str, str]) -> None:
    status = 1
    try:
        for number, path in ((0, os.devnull), (1, os.devnull), (2, str(log))):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        prepare()
        os.environ.update(environment)
        guard.run(lambda: build_app()(args=list(words), prog_name="mobile-diffusion"))
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _wait(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    ended = select.select([descriptor], [], [], _HANG)[0]
    os.close(descriptor)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK)
