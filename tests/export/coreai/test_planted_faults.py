"""Faults planted into the constants of Core AI programs, whose hash is right: Apple's runtime shows each of them.

A row times 1.002 is not seen by running a program in half precision, whose own error is as large.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreai.compress.weights import CONSTANT, module_of, stored_bytes
from export.coreai.compress.write import constant
from export.coreai.sources import nested
from export.coreai.toolchain import import_coreai
from export.evidence.figures import check_measured_again
from export.parity.compare import compare_runners
from export.parity.record import record
from export.parity.report import ParityReport
from export.parity.trajectories import CASES
from export.runners.coreai import CoreAIRunner
from export.runners.torch import TorchRunner
from export.signatures import STAGES
from export.targets import COREAI
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.schedule import step_table
from tests.export.coreai_packages import needs_coreai

pytestmark = needs_coreai
Array = np.ndarray
Compare = Callable[[Path], ParityReport]


@pytest.fixture(scope="module")
def compare(tiny_model: Model) -> Compare:
    """Compares the programs in a folder with one drawing of PyTorch."""
    settings, table = DrawSettings.of(tiny_model.config), step_table(tiny_model.config.schedule)
    drawn = record(TorchRunner.from_model(tiny_model, 1), tiny_model.tokenizer, settings, CASES[0])

    def compared(folder: Path) -> ParityReport:
        runner = CoreAIRunner.load(folder, {stage: f"{stage}.aimodel" for stage in STAGES})
        return compare_runners([(COREAI, runner)], [drawn], settings, table, "trajectory")[0]

    return compared


@pytest.fixture(scope="module")
def recorded(compare: Compare, coreai_half_folder: Path) -> ParityReport:
    """What the programs as exported compute."""
    return compare(coreai_half_folder)


def plant(path: Path, module: str, shape: Callable[[tuple[int, ...]], bool], change: Callable[[Array], Array]) -> None:
    """Change the constants of one torch module that have such a shape."""
    program = import_coreai("coreai.authoring").AIModelAsset.load(str(path)).program
    body = program._module._mlir_module
    found = [each for each in nested(body.operation) if each.name == CONSTANT and module_of(each) == module]
    changed = [each for each in found if shape(tuple(each.results[0].type.shape)) and is_float(each)]
    assert changed, f"{path} has no such constant of {module}"
    for operation in changed:
        replace(body, operation, change)
    shutil.rmtree(path)
    program.save_asset(path)


def is_float(operation: Any) -> bool:
    return str(operation.results[0].type.element_type) in ("f16", "f32")


def replace(body: Any, operation: Any, change: Callable[[Array], Array]) -> None:
    kind = operation.results[0].type
    dtype = np.float16 if str(kind.element_type) == "f16" else np.float32
    numbers = stored_bytes(operation).view(dtype).reshape(kind.shape).copy()
    with body.context, operation.location, import_coreai("coreai._compiler.ir").InsertionPoint(operation):
        operation.results[0].replace_all_uses_with(constant(change(numbers).astype(dtype), kind.element_type))


def with_row(factor: float) -> Callable[[Array], Array]:
    def change(numbers: Array) -> Array:
        numbers[0] *= factor
        return numbers

    return change


def swapped_steps(numbers: Array) -> Array:
    return numbers[[0, 2, 1, *range(3, len(numbers))]]


STEPS = 8
DECODER, UNET = "autoencoder.decoder", "unet"
CONVOLUTION, BIAS = (lambda shape: len(shape) == 4), (lambda shape: sum(size > 1 for size in shape) == 1)
FAULTS = {
    "two steps swapped": ("denoise", "-", lambda shape: shape[:1] == (STEPS,), swapped_steps),
    "a row of the decoder times 1.02": ("decode_image", f"{DECODER}.conv_out", CONVOLUTION, with_row(1.02)),
    "a row of the U-Net times 1.02": ("denoise", f"{UNET}.conv_out", CONVOLUTION, with_row(1.02)),
    "not a number": ("denoise", f"{UNET}.conv_in", CONVOLUTION, with_row(float("nan"))),
    "another decoder": ("decode_image", f"{DECODER}.conv_in", CONVOLUTION, lambda numbers: numbers[::-1]),
    "kernels transposed": ("decode_image", f"{DECODER}.conv_in", CONVOLUTION, lambda each: each.swapaxes(2, 3)),
    "the sign of a bias": ("denoise", f"{UNET}.conv_in", BIAS, lambda numbers: -numbers),
}


@pytest.mark.full
@pytest.mark.parametrize("name", FAULTS)
def test_it_is_seen(
    name: str, compare: Compare, recorded: ParityReport, coreai_half_folder: Path, tmp_path: Path
) -> None:
    assert recorded.passed
    stage, module, shape, change = FAULTS[name]
    folder = Path(shutil.copytree(coreai_half_folder, tmp_path / "programs"))
    plant(folder / f"{stage}.aimodel", module, shape, change)
    report = compare(folder)
    seen = [str(each) for each in report.failures] + [str(each) for each in check_measured_again(recorded, report)]
    assert any(stage in each or "denoise" in each or "free_running" in each for each in seen), seen
