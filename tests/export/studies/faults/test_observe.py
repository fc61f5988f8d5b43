"""Faults that were put into programs are found where they were put."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml.interpret import Program
from export.coreml.package_archive import CoreMLPackage
from export.studies.faults.counts import HALF_ROUNDOFF, SINGLE_ROUNDOFF
from export.studies.faults.graph import operations, readers_of, step_count
from export.studies.faults.observe import FaultObserver, OperationFaults
from export.studies.faults.roundoff import operand_roundoffs

X = np.array([[300.0, 1e-4, 1.0, -2.0, 0.5, 3.0, 0.0, 0.25]], np.float32)


def observed(path: Path, *arrays: np.ndarray, precision: str = "as-stored") -> dict[str, OperationFaults]:
    program = Program.open(path, precision)
    observer = FaultObserver({"square_cast_fp16": "net.square"}, operand_roundoffs(CoreMLPackage.open(path)))
    for number, array in enumerate(arrays):
        observer.case = f"case {number}"
        program.run(observer, x=array)
    return observer.found


def test_every_kind_of_fault(faulty: Path) -> None:
    found = {name.removesuffix("_cast_fp16"): each for name, each in observed(faulty, X).items()}
    square, back, ratio, lost = (found[name].counts for name in ("square", "back", "ratio", "lost"))
    assert (square.overflow, square.underflow, square.highest) == (1, 1, pytest.approx(90000, rel=1e-3))
    assert back.cancelled == 7, "1000.5 - x is known to 2^-11 of 1000: a difference below 8 is not"
    assert ratio.infinite == 7 and ratio.nan == 1, "x / 0, and 0 / 0"
    assert lost.nan == 1, "infinity - infinity"
    assert found["square"].module == "net.square" and found["ratio"].module is None
    assert [each.position for each in found.values()] == list(range(len(found)))


def test_the_worst_input_is_named(faulty: Path) -> None:
    quiet = np.full_like(X, 2.0)
    found = observed(faulty, quiet, X, quiet)["square_cast_fp16"]
    assert found.case == "case 1" and found.counts.overflow == 1
    assert found.counts.elements == X.size


def test_in_float32_nothing_overflows(faulty: Path) -> None:
    assert observed(faulty, X, precision="float32")["square_cast_fp16"].counts.overflow == 0


def test_a_layer_norm_warns_of_what_it_squares(save_program: Callable[..., Path]) -> None:
    from coremltools.converters.mil import Builder as mb

    path = save_program(lambda x: mb.layer_norm(x=x, axes=[-1], name="norm"), precision="FLOAT16", x=(1, 8))
    loud = np.array([[-400.0, 400.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]], np.float32)
    found = next(each for each in observed(path, loud).values() if each.operation == "layer_norm")
    assert found.counts.inside == 2 and found.counts.broken == 0
    quiet = observed(path, loud / 2)
    assert all(each.counts.inside == 0 for each in quiet.values())


def test_guidance_subtracts_numbers_of_half_precision(coreml_folder: Path) -> None:
    """The update is in float32; what it takes from the network has eleven bits all the same."""
    package = CoreMLPackage.open(coreml_folder / "denoise.mlpackage")
    writers = {out.name: each for each in operations(package.spec) for out in each.outputs}
    assert step_count(package.spec) == 8
    found = operand_roundoffs(package)
    guided = [name for name in found if writers[name].type == "sub" and not name.endswith("fp16")]
    scale, difference = {"x": 2.0**-24, "y": 0.0}, {"x": HALF_ROUNDOFF, "y": HALF_ROUNDOFF}
    assert [found[name] for name in guided] == [scale, difference]  # w - 1, and the two predictions
    assert found["add_0"] == {"x": 0.0, "y": 0.0}, "indices"
    assert SINGLE_ROUNDOFF in found["latents_out"].values()


def test_readers(faulty: Path) -> None:
    spec: Any = CoreMLPackage.open(faulty).spec
    assert step_count(spec) == 1
    assert readers_of(spec)["square_cast_fp16"] == {"lost_cast_fp16"}
