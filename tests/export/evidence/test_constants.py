"""One number that changed in a stored constant is named, in every runtime's own file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from export.coreai.asset import HASH, PROGRAM, digest
from export.evidence.constants import READERS, first_difference
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ExportError
from tests.export.coreai_packages import needs_coreai
from tests.export.evidence.planting import edit_stored

WEIGHT = "decoder.mid_block.resnets.0.conv1.weight"
PROGRAMS = {
    "onnx": ("onnx_folder", "onnx", np.float32),
    "xnnpack": ("executorch_folder", "pte", np.float32),
    "coreml": ("coreml_folder", "mlpackage", np.float16),
    "coreai": ("coreai_folder", "aimodel", np.float32),
}
"""Runtime -> fixture of its folder, suffix of a program, and how it stores the kernel."""
NAMES = {"onnx": WEIGHT, "coreml": "mid_block_resnets_0_conv1_weight", "coreai": "mid_block.resnets.0.conv1"}
"""What the name of the constant contains; XNNPACK's has no name."""
of_every_runtime = pytest.mark.parametrize(
    "runtime", [pytest.param(each, marks=needs_coreai) if each == "coreai" else each for each in PROGRAMS]
)


@of_every_runtime
def test_the_number_that_changed_is_named(
    runtime: str, request: pytest.FixtureRequest, tiny_model: Model, tmp_path: Path
) -> None:
    fixture, suffix, dtype = PROGRAMS[runtime]
    whole = request.getfixturevalue(fixture) / f"decode_image.{suffix}"
    spoiled = tmp_path / whole.name
    (shutil.copytree if whole.is_dir() else shutil.copy)(whole, spoiled)
    assert first_difference(runtime, whole, spoiled) is None
    kernel = tiny_model.autoencoder.get_parameter(WEIGHT).detach()
    kernel = kernel.permute(0, 2, 3, 1) if runtime == "xnnpack" else kernel
    stored = np.ascontiguousarray(kernel.numpy()).astype(dtype)
    changed = stored.copy()
    changed[1, 2, 0, 1] = np.nextafter(changed[1, 2, 0, 1], dtype(9))
    edit_stored(spoiled, stored.tobytes(), changed.tobytes())
    if runtime == "coreai":
        (spoiled / HASH).write_bytes(digest(spoiled / PROGRAM))
    found = first_difference(runtime, whole, spoiled)
    assert found is not None
    place, expected, got = found
    assert place.endswith("[1, 2, 0, 1]") and NAMES.get(runtime, "XNNPACK's constant") in place
    assert (dtype(expected), dtype(got)) == (stored[1, 2, 0, 1], changed[1, 2, 0, 1])


@of_every_runtime
def test_another_program_is_another_constant(runtime: str, request: pytest.FixtureRequest) -> None:
    fixture, suffix, _ = PROGRAMS[runtime]
    folder = request.getfixturevalue(fixture)
    found = first_difference(runtime, folder / f"decode_image.{suffix}", folder / f"encode_text.{suffix}")
    assert found is not None and found[1] != found[2]


@of_every_runtime
def test_a_damaged_program_is_one_line(runtime: str, tmp_path: Path) -> None:
    path = tmp_path / f"decode_image.{PROGRAMS[runtime][1]}"
    path.write_bytes(b"no program")
    with pytest.raises(ExportError, match=r"decode_image\.\w+: expected "):
        list(READERS[runtime](path))


def test_a_runtime_that_nothing_reads(tmp_path: Path) -> None:
    assert first_difference("vulkan", tmp_path / "a.pte", tmp_path / "b.pte") is None
