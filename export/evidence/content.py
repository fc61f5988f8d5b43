"""What every program of a bundle itself contains, read from its file without running it.

Each format has its own reader in its backend.  A program that nothing here can read is in `Contents.unread`, with the
reason, so that `verify` can say what it did not check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.bundle.bundle import Bundle
from export.bundle.manifest_parts import ArtifactEntry, RuntimeEntry
from export.executorch.signature import Delegation, read_signature
from export.signatures import TensorSpec

READABLE = 2**29
"""Bytes of a program above which it is not read: reading a .pte holds it in memory twice."""
READERS = ("xnnpack", "onnx", "coreml")
"""Runtimes whose programs can be read."""


@dataclass(frozen=True)
class Content:
    """What one program contains; None for what its format does not tell."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """With the program's names; a picture that is returned as an image has the dtype "image"."""
    tables: tuple[NDArray[np.floating], ...]
    """Constants of one axis that are looked up at `step`, (N,) each."""
    precision: str
    compressed: bool | None = None
    system: str | None = None
    """The oldest system that opens it."""
    delegation: Delegation | None = None


@dataclass(frozen=True)
class Contents:
    """The contents of all programs of a bundle."""

    read: Mapping[tuple[str, str], Content]
    """(runtime, stage) -> content."""
    unread: tuple[str, ...]
    """Runtimes of which a program was not read, each with the reason."""

    def of(self, runtime: str) -> dict[str, Content]:
        """Stage -> content of one runtime."""
        return {stage: content for (name, stage), content in self.read.items() if name == runtime}


def read_contents(bundle: Bundle) -> Contents:
    """Read every program that can be read; raises `ExportError` for one that is damaged."""
    read: dict[tuple[str, str], Content] = {}
    unread = []
    for runtime in bundle.manifest.runtimes:
        reason = _refusal(bundle, runtime)
        if reason:
            unread.append(f"{runtime.name} ({reason})")
            continue
        for artifact in runtime.artifacts:
            read[runtime.name, artifact.stage] = read_program(runtime.name, bundle.path / artifact.path, artifact)
    return Contents(read, tuple(unread))


def read_program(runtime: str, path: Path, artifact: ArtifactEntry) -> Content:
    """Read one program with the reader of its runtime, one of READERS."""
    if runtime == "onnx":
        from export.onnx.reading import read_content as read_onnx

        model = read_onnx(path)
        return Content(model.inputs, model.outputs, model.tables, model.precision)
    if runtime == "coreml":
        from export.coreml.reading import read_content as read_package

        package = read_package(path)
        return Content(
            package.inputs, package.outputs, package.tables, package.precision, package.compressed, package.system
        )
    from export.executorch.reading import read_content as read_pte

    program = read_pte(path)
    inputs, outputs = read_signature(path, artifact.stage)  # the runner compares them with the program
    return Content(inputs, outputs, program.tables, program.precision, delegation=program.delegation)


def _refusal(bundle: Bundle, runtime: RuntimeEntry) -> str:
    """Why a runtime's programs are not read; "" if they are."""
    if runtime.name not in READERS:
        return "no reader for its programs"
    sizes = [sum(file.size for file in bundle.files_of(artifact.path)) for artifact in runtime.artifacts]
    if max(sizes) > READABLE:
        return f"a program of more than {READABLE >> 20} MB"
    return ""
