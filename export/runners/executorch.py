"""Runs the `.pte` programs with ExecuTorch's own runtime, the one that is in the Android app."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from export.executorch.signature import read_signature
from export.runners.protocol import check_arrays, check_stage
from export.stages import TensorSpec
from mobile_diffusion.errors import ExportError


@dataclass(frozen=True)
class Method:
    """One stage's method, loaded; the file itself names neither inputs nor outputs."""

    execute: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    program: Any
    """Kept because the method reads from its memory."""


@dataclass(frozen=True, eq=False)
class ExecuTorchRunner:
    """XNNPACK on the processor, a program a stage."""

    methods: Mapping[str, Method]
    threads: int
    name: ClassVar[str] = "xnnpack"

    @classmethod
    def load(cls, folder: Path, artifacts: Mapping[str, str], threads: int = 2) -> ExecuTorchRunner:
        """Open the program of every stage (stage -> path relative to `folder`).

        Raises `ExportError` when one cannot be read, or is another stage's.
        """
        set_threads(threads)
        runner = cls({stage: _open(folder / path, stage) for stage, path in artifacts.items()}, threads)
        _loaded.add(runner)
        return runner

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        check_stage(stage, self.methods)
        method = self.methods[stage]
        inputs = [torch.from_numpy(array) for array in check_arrays(stage, method.inputs, arrays)]
        results = method.execute(inputs)  # sets the inputs anew: their memory is used by others
        return {spec.name: tensor.numpy().copy() for spec, tensor in zip(method.outputs, results, strict=True)}


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


def _open(path: Path, stage: str) -> Method:
    from executorch.runtime import Runtime

    if not path.is_file():
        raise ExportError(f"{path}: expected an ExecuTorch program, got no file; export it again")
    try:
        program = Runtime.get().load_program(path)
        method = program.load_method(stage)
    except (RuntimeError, KeyError) as error:
        raise ExportError(f"{path}: expected an ExecuTorch program of {stage}: {error}; export it again") from error
    return Method(method.execute, *read_signature(path, stage), (program, method))


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
