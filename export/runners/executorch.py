"""Runs `model.pte` with ExecuTorch's own runtime, the one that is in the Android app."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from export.executorch import SIGNATURE
from export.runners.protocol import check_arrays, check_stage
from export.stages import TensorSpec
from mobile_diffusion.errors import ExportError


@dataclass(frozen=True)
class Signature:
    """Inputs in order and output of one method; the file itself does not name them."""

    inputs: tuple[TensorSpec, ...]
    output: TensorSpec


@dataclass(frozen=True, eq=False)
class ExecuTorchRunner:
    """XNNPACK on the processor, a method a stage."""

    signatures: Mapping[str, Signature]
    methods: Mapping[str, Any]
    program: Any
    """Kept because its methods read from its memory."""
    threads: int
    name: ClassVar[str] = "executorch"

    @classmethod
    def load(cls, folder: Path, artifacts: Mapping[str, str], threads: int = 2) -> ExecuTorchRunner:
        """Open the program that holds the stages (stage -> path relative to `folder`, the same for all).

        Raises `ExportError` when there are several programs, or one cannot be read.
        """
        from executorch.runtime import Runtime

        path = _only_path(folder, artifacts)
        set_threads(threads)
        try:
            program = Runtime.get().load_program(path)
            methods = {stage: program.load_method(stage) for stage in artifacts}
        except (RuntimeError, KeyError) as error:
            raise ExportError(f"{path}: expected an ExecuTorch program of {', '.join(artifacts)}: {error}") from error
        runner = cls(read_signatures(path.with_name(SIGNATURE), artifacts), methods, program, threads)
        _loaded.add(runner)
        return runner

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The output of one stage by its name."""
        check_stage(stage, self.signatures)
        signature = self.signatures[stage]
        inputs = [torch.from_numpy(array) for array in check_arrays(stage, signature.inputs, arrays)]
        (output,) = self.methods[stage].execute(inputs)  # sets the inputs anew: their memory is used by others
        return {signature.output.name: output.numpy()}


_loaded: weakref.WeakSet[ExecuTorchRunner] = weakref.WeakSet()
"""Runners alive in this process: they share one thread pool, which must not be replaced under them."""


def set_threads(count: int) -> None:
    """Give the process's thread pool `count` threads; raises `ExportError` if a runner alive uses another number."""
    from executorch.extension.pybindings import portable_lib

    with _silent_stderr():
        current = portable_lib._threadpool_get_thread_count()
    if current == count:
        return
    if len(_loaded):
        raise ExportError(f"executorch: expected {current} threads, as the runner loaded before, got {count}")
    with _silent_stderr():
        portable_lib._unsafe_reset_threadpool(count)


def read_signatures(path: Path, stages: Mapping[str, str]) -> dict[str, Signature]:
    """Read what the lowering wrote beside the program; raises `ExportError` when it does not fit."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {stage: _signature(known[stage]) for stage in stages}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: expected the signatures of the program: {error!r}; export it again") from error


def _signature(entry: Mapping[str, Any]) -> Signature:
    specs = [
        TensorSpec(spec["name"], spec["dtype"], tuple(spec["shape"])) for spec in (*entry["inputs"], entry["output"])
    ]
    return Signature(tuple(specs[:-1]), specs[-1])


def _only_path(folder: Path, artifacts: Mapping[str, str]) -> Path:
    paths = sorted({folder / path for path in artifacts.values()})
    if len(paths) != 1:
        raise ExportError(f"executorch: expected one program for all stages, got {len(paths)}; export it again")
    if not paths[0].is_file():
        raise ExportError(f"{paths[0]}: expected an ExecuTorch program, got no file; export it again")
    return paths[0]


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Hide the notes that the native thread pool writes to standard error, such as files that only phones have."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
