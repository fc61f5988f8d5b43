"""Runs the programs inside the delegates of `.pte` files: what an iPhone's ExecuTorch hands to Apple's runtimes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.delegates import coreai, coreml
from export.delegates.read import Delegate, read_program
from export.executorch.signature import read_signature
from export.runners.coreai import CoreAIRunner
from export.runners.coreml_interpreter import CoreMLInterpreterRunner
from export.runners.runner import Runner, check_threads
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted


@dataclass(frozen=True)
class DelegatedRunner:
    """The delegates' programs, taken out of the files; ExecuTorch itself has nothing to compute in them."""

    inner: Runner
    """Runs the programs that were taken out."""
    threads: int
    work: tempfile.TemporaryDirectory[str]
    """The folder with these programs, which is removed together with this object."""

    @property
    def name(self) -> str:
        """For tables."""
        return f"executorch-{self.inner.name}"

    @classmethod
    def load(cls, folder: Path, artifacts: Mapping[str, str], threads: int = 2) -> DelegatedRunner:
        """Take the delegate's program out of the file of every stage (stage -> path relative to `folder`), and open it.

        Raises `ExportError` if a file is damaged, holds anything besides one delegate, or one that is not known here;
        `ConfigError` for an impossible number of threads.
        """
        check_threads(threads)
        work = tempfile.TemporaryDirectory(prefix="mobile-diffusion-delegates-")
        found = {stage: unpacked(folder / path, stage, Path(work.name)) for stage, path in artifacts.items()}
        backends = sorted({backend for backend, _ in found.values()})
        if len(backends) != 1:
            raise ExportError(f"{folder}: expected programs with one delegate, got {', '.join(backends)}; export again")
        programs = {stage: program for stage, (_, program) in found.items()}
        return cls(RUNNERS[backends[0]](Path(work.name), programs, threads=threads), threads, work)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        return self.inner.run(stage, **arrays)


FORMATS: dict[str, Callable[[Path, Delegate, Sequence[str], Sequence[str], Path], Path]] = {
    coreml.BACKEND: coreml.unpack,
    coreai.BACKEND: coreai.unpack,
}
RUNNERS: dict[str, Callable[..., Runner]] = {
    coreml.BACKEND: CoreMLInterpreterRunner.load,
    coreai.BACKEND: CoreAIRunner.load,
}
"""Delegate -> what takes its program out, and what runs it."""


def unpacked(path: Path, stage: str, folder: Path) -> tuple[str, str]:
    """Write the program inside a file's delegate below `folder`; returns the delegate and the path relative to it."""
    delegate = read_program(path, stage)
    inputs, outputs = ([spec.name for spec in specs] for specs in read_signature(path, stage))
    if delegate.backend not in FORMATS:
        expected = " or ".join(FORMATS)
        raise ExportError(f"{path}: expected the delegate {expected}, got {quoted(delegate.backend)}; export it again")
    target = folder / stage
    target.mkdir()
    program = FORMATS[delegate.backend](path, delegate, inputs, outputs, target)
    return delegate.backend, program.relative_to(folder).as_posix()
