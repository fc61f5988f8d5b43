"""Two runs side by side: where rounding takes a program away, and that nothing hangs when a run fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml.interpret import Program
from export.coreml.package_archive import CoreMLPackage
from export.studies.faults.graph import readers_of
from export.studies.faults.lockstep import against_float32, handed_on, signal_to_noise
from mobile_diffusion.errors import ExportError


def both(path: Path) -> tuple[Program, Program]:
    return Program.open(path), Program.open(path, "float32")


@pytest.fixture
def lossy(save_program: Callable[..., Path]) -> Path:
    """A dead end that loses all, a cancellation, and what is made of it."""
    from coremltools.converters.mil import Builder as mb

    def function(x: Any) -> Any:
        tiny = mb.mul(x=x, y=np.float32(1e-7), name="tiny")
        kept = mb.add(x=mb.mul(x=x, y=np.float32(3.0), name="kept"), y=tiny, name="sum")
        raised = mb.add(x=kept, y=np.float32(4000.0), name="raised")
        back = mb.sub(x=raised, y=np.float32(4001.0), name="back")
        return mb.mul(x=back, y=np.float32(2.0), name="y")

    return save_program(function, precision="FLOAT16", x=(1, 64))


def test_the_first_operation_that_takes_the_output_along(lossy: Path, normal: Callable[..., np.ndarray]) -> None:
    found = against_float32(*both(lossy), {"x": normal(1, 64)}, {"back_cast_fp16": "net.back"})
    ratios = {each.name: each.snr_db for each in found}
    assert ratios["kept_cast_fp16"] > 60 and ratios["tiny_cast_fp16"] < 40 and ratios["back_cast_fp16"] < 20
    lost = handed_on(found, 40.0, readers_of(CoreMLPackage.open(lossy).spec))
    assert (lost[0].name, lost[0].module) == ("back_cast_fp16", "net.back")
    assert "tiny_cast_fp16" not in {each.name for each in lost}, "its error is lost in the sum"
    assert handed_on(found, -100.0, readers_of(CoreMLPackage.open(lossy).spec)) == []


def test_one_precision_beside_itself_is_equal(lossy: Path, normal: Callable[..., np.ndarray]) -> None:
    one = Program.open(lossy)
    found = against_float32(one, Program.open(lossy), {"x": normal(1, 64)}, {})
    assert {each.snr_db for each in found} == {float("inf")} and len(found) >= 5


def test_nan_is_never_close(faulty: Path) -> None:
    found = against_float32(*both(faulty), {"x": np.full((1, 8), 300.0, np.float32)}, {})
    lost = handed_on(found, -1e9, readers_of(CoreMLPackage.open(faulty).spec))
    assert lost and not lost[-1].snr_db >= -1e9


@pytest.mark.parametrize("side", [0, 1])
def test_a_failing_run_ends_the_other(side: int, lossy: Path, normal: Callable[..., np.ndarray]) -> None:
    def fail(instruction: Any, *rest: Any) -> None:
        if instruction.name.startswith("raised"):
            raise ExportError("expected no failure, got one")

    watchers = ((fail,), ()) if side == 0 else ((), (fail,))
    before = threading.active_count()
    with pytest.raises(ExportError, match="expected no failure"):
        against_float32(*both(lossy), {"x": normal(1, 64)}, {}, watchers)
    assert threading.active_count() == before


def test_wrong_inputs_are_refused(lossy: Path) -> None:
    before = threading.active_count()
    with pytest.raises(ExportError, match="expected the inputs x"):
        against_float32(*both(lossy), {}, {})
    assert threading.active_count() == before


def test_the_ratio_is_that_of_float64(normal: Callable[..., np.ndarray]) -> None:
    reference, error = normal(3, 70), normal(3, 70) * 1e-3
    wanted = 10 * np.log10(np.square(reference, dtype=np.float64).sum() / np.square(error, dtype=np.float64).sum())
    got = signal_to_noise(torch.from_numpy(reference), torch.from_numpy(reference + error))
    assert got == pytest.approx(wanted, abs=0.01)
    assert signal_to_noise(torch.zeros(3), torch.ones(3)) == -np.inf
    assert np.isnan(signal_to_noise(torch.ones(2), torch.tensor([1.0, np.nan])))
