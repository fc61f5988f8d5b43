"""A process of its own for native code that opens files: a crash or a hang of it ends one call with one line.

Every such process has a folder of its own for what it writes, so several may work at the same time.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import tempfile
import weakref
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import ExportError, MobileDiffusionError

PATIENCE_S = 3600.0
"""Seconds after which a call counts as not answered: Stable Diffusion's largest stage takes minutes on one thread."""
NOTES = "notes.txt"
"""The file, in the work folder, with what native code wrote to standard output and error; its end says why it died."""
Answer = Callable[[str, Mapping[str, Any]], Any]
"""Runs a stage on named arrays."""
Open = Callable[[Path], Answer]
"""Opens the programs, given the work folder; runs in the other process, to which it must be possible to send it."""


class Process:
    """The other process, its connection and its folder; all are gone when this object is."""

    def __init__(self, process: Any, connection: Connection, work: Path, title: str, patience_s: float) -> None:
        self.process, self.connection, self.work = process, connection, work
        self.title, self.patience_s = title, patience_s
        self._end = weakref.finalize(self, end, process, connection, work)

    @classmethod
    def start(cls, title: str, open_programs: Open, patience_s: float = PATIENCE_S) -> Process:
        """Start it; it opens the programs, and its first answer is None.  `title` is for messages."""
        context = multiprocessing.get_context("spawn")
        work = Path(tempfile.mkdtemp(prefix="mobile-diffusion-process-"))
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, work, open_programs), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours, work, title, patience_s)

    def call(self, stage: str, arrays: Mapping[str, Any]) -> Any:
        """Send a request and return its answer; raises `ExportError` as `receive` does."""
        try:
            self.connection.send((stage, dict(arrays)))
        except (BrokenPipeError, OSError):
            raise self.failure(stage, "ended") from None
        return self.receive(stage)

    def receive(self, work: str) -> Any:
        """Return the next answer.

        Raises:
            ExportError: it is an error, or none arrives in time, or the process has died.
        """
        try:
            if not self.connection.poll(self.patience_s):
                error = self.failure(work, f"did not answer within {self.patience_s:g} s")
                self._end()
                raise error
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(timeout=10)
            raise self.failure(work, f"ended with {self.process.exitcode}") from None
        if isinstance(answer, MobileDiffusionError):
            raise answer
        if isinstance(answer, Exception):
            raise ExportError(f"{self.title}: {work}: expected outputs, got {answer}; export it again")
        return answer

    def failure(self, work: str, what: str) -> ExportError:
        """Return the error for a process that does not answer, with the last line that it wrote."""
        notes = self.work / NOTES
        lines = notes.read_text(errors="replace").split("\n") if notes.is_file() else []
        last = next((line for line in reversed(lines) if line.strip() and "Loading function" not in line), "")
        said = f": {last.strip()[:100]}" if last else ""
        return ExportError(
            f"{self.title}: {work}: expected an answer from the runtime, got a process that {what}{said}; "
            "export the program again, or close other programs if memory is short"
        )


def end(process: Any, connection: Connection, work: Path) -> None:
    """Close the connection, end the process and remove its folder."""
    connection.close()
    process.kill()
    process.join()
    shutil.rmtree(work, ignore_errors=True)


def serve(requests: Connection, work: Path, open_programs: Open) -> None:
    """Open the programs, then answer requests (stage, arrays) until the connection is closed; in the other process.

    An answer is a result, or the exception.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, too, and ends this process
    notes = os.open(work / NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(notes, stream)
    try:
        run = open_programs(work)
    except MobileDiffusionError as error:
        requests.send(error)
        return
    requests.send(None)
    while True:
        try:
            stage, arrays = requests.recv()
        except (EOFError, OSError):
            os._exit(0)  # without the runtime's own ending, which may abort
        requests.send(answer(run, stage, arrays))


def answer(run: Answer, stage: str, arrays: Mapping[str, Any]) -> Any:
    """Return what a call returns, or the exception that it raised."""
    try:
        return run(stage, arrays)
    except MobileDiffusionError as error:
        return error
    except Exception as error:  # a runtime's own exceptions have no common base
        return RuntimeError(" ".join(f"{type(error).__name__}: {error}".split())[:160])
