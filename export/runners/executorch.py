"""Runs `.pte` programs with ExecuTorch's runtime, the same as in the Android app."""

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
"""ExecuTorch's numbers of data types (module `executorch.exir.scalar_type`)."""


@dataclass(frozen=True)
class Method:
    """A loaded method of one stage; the program file has no names of inputs and outputs."""

    execute: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    program: Any
    """Kept alive because the method reads from its memory."""


@dataclass(frozen=True, eq=False)
class ExecuTorchRunner:
    """XNNPACK on the processor, one program per stage."""

    methods: Mapping[str, Method]
    threads: int
    name: ClassVar[str] = "xnnpack"

    @classmethod
    def load(cls, folder: Path, artifacts: Mapping[str, str], threads: int = 2) -> ExecuTorchRunner:
        """Open the program of every stage (stage -> path relative to `folder`).

        Raises `ExportError` if one cannot be read, belongs to another stage or backend, or does not match the file that
        describes it; `ConfigError` for an impossible number of threads.
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
"""Live runners of this process: they share one thread pool, which must not be replaced while they use it."""


def set_threads(count: int) -> None:
    """Give the process's thread pool `count` threads; raises `ExportError` if a live runner uses another number."""
    native = _native()
    with _native_notes():
        current = native._threadpool_get_thread_count()
    if current == count:
        return
    if len(_loaded):
        raise ExportError(f"executorch: expected {current} threads, as the runner loaded before, got {count}")
    with _native_notes():
        native._unsafe_reset_threadpool(count)


def _native() -> Any:
    """ExecuTorch's runtime itself.

    Its public wrapper, `executorch.runtime`, imports the whole exporter for one warning, which takes 6 seconds.
    """
    import executorch.extension.pybindings._C as native

    return native


def _open(path: Path, stage: str) -> Method:
    native = _native()
    if not path.is_file():
        raise ExportError(f"{path}: expected an ExecuTorch program, got no file; export it again")
    inputs, outputs = read_signature(path, stage)
    problem = f"{path}: expected an ExecuTorch program of {stage} on XNNPACK"
    with _native_notes() as notes:
        try:
            program = native._load_program(str(path), program_verification=native.Verification.InternalConsistency)
            found = _boundary(program.method_meta(stage))
            if found != _as_found((*inputs, *outputs)):
                raise ExportError(f"{path}: expected the tensors of {stage}.json, got others; keep both files together")
            method = program.load_method(stage)
        except (RuntimeError, KeyError) as error:
            raise ExportError(f"{problem}: {_reason(notes, error)}; export it again") from error
    return Method(method, inputs, outputs, (program, method))


Found = list[tuple[int, tuple[int, ...]]]
"""Code of the dtype and shape of every input and output."""


def _boundary(meta: Any) -> Found:
    """The inputs and outputs that a program itself declares, in order."""
    tensors = [meta.input_tensor_meta(number) for number in range(meta.num_inputs())]
    tensors += [meta.output_tensor_meta(number) for number in range(meta.num_outputs())]
    return [(tensor.dtype(), tuple(tensor.sizes())) for tensor in tensors]


def _as_found(specs: Sequence[TensorSpec]) -> Found:
    return [(DTYPE_CODES[spec.dtype], tuple(spec.shape)) for spec in specs]


def _reason(notes: TextIO, error: Exception) -> str:
    """The first line that the native runtime wrote, without its position in the source; else the exception."""
    notes.seek(0)
    written = [line.partition("] ")[2] for line in notes.read().splitlines() if line.startswith("[")]
    return (written or [str(error)])[0].rstrip(".")


@contextmanager
def _native_notes() -> Iterator[TextIO]:
    """Catch what native code writes to standard error, directly or through Python: reasons for errors, and notes."""
    saved = os.dup(2)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as notes:
        try:
            os.dup2(notes.fileno(), 2)
            with redirect_stderr(notes):
                yield notes
        finally:
            os.dup2(saved, 2)
            os.close(saved)
