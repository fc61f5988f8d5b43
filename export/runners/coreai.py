"""Runs `.aimodel` programs with Apple's runtime, in a process of its own.

A crash or a hang of the native runtime then ends one call with one line, and not the export.  Every runner has its own
process and its own folder for compiled files, so several may work at the same time.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from export.coreai.asset import check_asset
from export.coreai.sums import Sums
from export.coreai.toolchain import check
from export.runners import coreai_process
from export.runners.runner import check_stage, check_threads
from mobile_diffusion.errors import ExportError, MobileDiffusionError

PATIENCE_S = 3600.0
"""Seconds after which a call counts as not answered: Stable Diffusion's largest stage takes minutes on one thread."""
FUNCTION = "main"
"""Name of the function in our assets."""


@dataclass(frozen=True)
class CoreAIRunner:
    """Apple's runtime on one thread of this computer; for parity and previews, not for times on a phone."""

    process: Process
    stages: Mapping[str, str]
    """Stage -> path of its asset."""
    name: ClassVar[str] = "coreai"

    @classmethod
    def load(
        cls,
        folder: Path,
        artifacts: Mapping[str, str],
        threads: int = 1,
        sums: Sums = Sums.FLOAT32,
        inside: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> CoreAIRunner:
        """Open the asset of every stage (stage -> path relative to `folder`).

        `threads` has no effect, because the runtime uses one.  With `inside`, `run` returns the last float value of
        every torch module instead of the outputs.

        Raises:
            ExportError: Apple's packages are missing; an asset is damaged or of another tool or has other functions;
                there is no room for compiled files; or the runtime does not answer within `patience_s`, or dies.
            ConfigError: an impossible number of threads.
        """
        check_threads(threads)
        check()
        for path in artifacts.values():
            check_asset(folder / path)
        programs = {stage: ((folder / path).resolve(), FUNCTION) for stage, path in artifacts.items()}
        process = Process.start(programs, sums, inside, patience_s)
        process.receive("opening " + ", ".join(artifacts))
        return cls(process, dict(artifacts))

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        check_stage(stage, self.stages)
        return dict(self.process.call(stage, arrays))


class Process:
    """The other process, its connection and its folder; all are gone when this object is."""

    def __init__(self, process: Any, connection: Connection, work: Path, patience_s: float) -> None:
        self.process, self.connection, self.work, self.patience_s = process, connection, work, patience_s
        self._end = weakref.finalize(self, end, process, connection, work)

    @classmethod
    def start(cls, programs: Mapping[str, tuple[Path, str]], sums: Sums, inside: bool, patience_s: float) -> Process:
        """Start it; it opens the programs."""
        context = multiprocessing.get_context("spawn")
        work = Path(tempfile.mkdtemp(prefix="mobile-diffusion-coreai-"))
        ours, theirs = context.Pipe()
        arguments = (theirs, work, dict(programs), sums, inside)
        process = context.Process(target=coreai_process.serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours, work, patience_s)

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
            raise ExportError(f"Core AI: {work}: expected outputs, got {answer}; export it again")
        return answer

    def failure(self, work: str, what: str) -> ExportError:
        """Return the error for a process that does not answer, with the last line that it wrote."""
        notes = self.work / coreai_process.NOTES
        lines = notes.read_text(errors="replace").split("\n") if notes.is_file() else []
        last = next((line for line in reversed(lines) if line.strip() and "Loading function" not in line), "")
        said = f": {last.strip()[:100]}" if last else ""
        return ExportError(
            f"Core AI: {work}: expected an answer from Apple's runtime, got a process that {what}{said}; "
            "if memory is short, close other programs"
        )


def end(process: Any, connection: Connection, work: Path) -> None:
    """Close the connection, end the process and remove its folder."""
    connection.close()
    process.kill()
    process.join()
    shutil.rmtree(work, ignore_errors=True)
