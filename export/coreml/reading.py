"""Reads what a Core ML package itself contains, without running it: step tables, precision, compression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from export.coreml.interpret import Program
from export.coreml.interpret.program import Routine
from export.coreml.interpret.weights import Weight
from export.coreml.package_archive import CoreMLPackage
from export.coreml.structure import IMAGE
from export.signatures import TensorSpec

GATHER, PRODUCT = "gather", "mul"
STEP = "step"
COMPRESSED = "constexpr_"
SYSTEMS = {7: "iOS16", 8: "iOS17", 9: "iOS18"}
"""Specification version of a package -> the oldest system that opens it."""


@dataclass(frozen=True)
class CoreMLContent:
    """The content of one package."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """With the package's names; an image has the dtype "image"."""
    tables: tuple[NDArray[np.floating], ...]
    """Constants of one axis that are looked up at `step`, (N,) each."""
    precision: str
    compressed: bool
    """Whether any weight is stored compressed."""
    system: str
    """The oldest system that opens it."""

    @property
    def pixel_buffer(self) -> bool:
        """Whether an output is an image."""
        return any(spec.dtype == IMAGE for spec in self.outputs)


def read_content(path: Path) -> CoreMLContent:
    """Read a package; raises `ExportError` if it is none, or is damaged."""
    package, program = CoreMLPackage.open(path), Program.open(path)
    results = {dtype for each in program.instructions for dtype in each.dtypes}
    version = package.spec.specificationVersion
    return CoreMLContent(
        program.inputs,
        program.outputs,
        tuple(_tables(program.routines)),
        "fp16" if "fp16" in results else "fp32",
        _compressed(package),
        SYSTEMS.get(version, f"specification {version}"),
    )


def _tables(routines: Sequence[Routine]) -> Iterator[NDArray[np.floating]]:
    """The tables of a program, whose chunks run one after another and may hand on what was made from `step`."""
    names = {STEP}
    for routine in routines:
        following = {slot for name, slot in routine.input_slots.items() if name in names}
        yield from _looked_up(routine, following)
        names |= {name for name, slot in routine.output_slots.items() if slot in following}


def _looked_up(routine: Routine, following: set[int]) -> Iterator[NDArray[np.floating]]:
    """The tables of one routine, found by following `step` through casts and comparisons to the look-ups.

    A look-up is a gather or, for the Neural Engine, a product with the row that a comparison has chosen.  `following`
    is completed: the slots whose values are made from `step` alone.
    """
    for each in routine.block.instructions:
        if not following & set(each.slots_read()):
            continue
        if not each.operation.startswith(GATHER) and each.operation != PRODUCT:
            following |= set(each.results)
            continue
        operands = [slot for slot in each.operands.values() if isinstance(slot, int) and slot not in following]
        values = [routine.constants[slot] for slot in operands if slot in routine.constants]
        for value in values:
            table = value.tensor() if isinstance(value, Weight) else value
            if isinstance(table, Tensor) and table.is_floating_point() and table.ndim == 1:
                yield table.numpy().astype(np.float16 if each.dtypes[0] == "fp16" else np.float32)


def _compressed(package: CoreMLPackage) -> bool:
    models = package.spec.pipeline.models if package.kind == "pipeline" else [package.spec]
    return any(
        operation.type.startswith(COMPRESSED)
        for model in models
        for function in model.mlProgram.functions.values()
        for operation in function.block_specializations[function.opset].operations
    )
