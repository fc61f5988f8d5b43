"""The process in which Apple's runtime runs: it opens programs and answers calls until its connection is closed.

Nothing here imports torch, so the process starts in half a second.  What native code writes to standard output and
error goes to a file, whose end says why the process died.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from export.coreai.program import CompiledProgram, open_program
from export.coreai.sums import Sums
from mobile_diffusion.errors import MobileDiffusionError

NOTES = "notes.txt"
"""The file, in the work folder, with what native code wrote."""


def serve(requests: Connection, work: Path, programs: Mapping[str, tuple[Path, str]], sums: Sums, inside: bool) -> None:
    """Open the asset and function of every stage, then answer requests (stage, arrays); runs in the other process.

    An answer is a result, or the exception.  The first answer, None, says that everything is open.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, too, and ends this process
    notes = os.open(work / NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(notes, stream)
    try:
        opened = {
            stage: open_program(path, stage, function, work, sums, inside)
            for stage, (path, function) in programs.items()
        }
    except MobileDiffusionError as error:
        requests.send(error)
        return
    requests.send(None)
    while True:
        try:
            stage, arrays = requests.recv()
        except (EOFError, OSError):
            os._exit(0)  # without the runtime's own ending, which may abort
        requests.send(answer(opened[stage], arrays, inside))


def answer(program: CompiledProgram, arrays: Mapping[str, Any], inside: bool) -> Any:
    """Return the outputs of a program, or the values inside it, or the exception that it raised."""
    try:
        return program.values_inside(arrays) if inside else program.run(arrays)
    except MobileDiffusionError as error:
        return error
    except Exception as error:  # the runtime's own exceptions have no common base
        return RuntimeError(" ".join(f"{type(error).__name__}: {error}".split())[:160])
