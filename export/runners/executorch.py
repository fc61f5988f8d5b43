"""Runs the `.pte` programs with ExecuTorch's own runtime, the one that is in the Android app."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TextIO

import numpy as np
import torch

from export.executorch.signature import read_signature
from export.runners.runner import check_stage, check_threads
from export.signatures import TensorSpec, check_arrays
from mobile_diffusion.errors import ExportError

DTYPE_CODES = {"float32": 6, "int32": 3}
"""ExecuTorch's numbers for them (executorch/exir/scalar_type.py)."""


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

        Raises `ExportError` when one cannot be read, is another stage's or another backend's, or is not the program
        that the file beside it describes; `ConfigError` for a number of threads that no pool can have.
        """
        check_threads(threads)
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

    with _native_notes():
        current = portable_lib._threadpool_get_thread_count()
    if current == count:
        return
    if len(_loaded):
        raise ExportError(f"executorch: expected {current} threads, as the runner loaded before, got {count}")
    with _native_notes():
        portable_lib._unsafe_reset_threadpool(count)


def _open(path: Path, stage: str) -> Method:
    from executorch.runtime import Runtime

    if not path.is_file():
        raise ExportError(f"{path}: expected an ExecuTorch program, got no file; export it again")
    inputs, outputs = read_signature(path, stage)
    problem = f"{path}: expected an ExecuTorch program of {stage} on XNNPACK"
    with _native_notes() as notes:
        try:
            program = Runtime.get().load_program(path)
            found = _boundary(program.metadata(stage))
            if found != _as_found((*inputs, *outputs)):
                raise ExportError(f"{path}: expected the tensors of {stage}.json, got others; keep both files together")
            method = program.load_method(stage)
        except (RuntimeError, KeyError) as error:
            raise ExportError(f"{problem}: {_reason(notes, error)}; export it again") from error
    return Method(method.execute, inputs, outputs, (program, method))


Found = list[tuple[int, tuple[int, ...]]]
"""Code of the dtype and shape of every input and output."""


def _boundary(meta: Any) -> Found:
    """What a program says of its own inputs and outputs, in order."""
    tensors = [meta.input_tensor_meta(number) for number in range(meta.num_inputs())]
    tensors += [meta.output_tensor_meta(number) for number in range(meta.num_outputs())]
    return [(tensor.dtype(), tuple(tensor.sizes())) for tensor in tensors]


def _as_found(specs: Sequence[TensorSpec]) -> Found:
    return [(DTYPE_CODES[spec.dtype], tuple(spec.shape)) for spec in specs]


def _reason(notes: TextIO, error: Exception) -> str:
    """The first thing that the native runtime wrote, without its place in the source; else the exception."""
    notes.seek(0)
    written = [line.partition("] ")[2] for line in notes.read().splitlines() if line.startswith("[")]
    return (written or [str(error)])[0].rstrip(".")


@contextmanager
def _native_notes() -> Iterator[TextIO]:
    """Take what native code writes to standard error, by itself or through Python: why it refuses, and mere notes."""
    saved = os.dup(2)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as notes:
        try:
            os.dup2(notes.fileno(), 2)
            with redirect_stderr(notes):
                yield notes
        finally:
            os.dup2(saved, 2)
            os.close(saved)
