"""A fault planted in one module of a Core ML program is found there, in both layouts."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.stages import ExportStage
from export.studies.coreml_inside import inside_for
from export.studies.departures import compare

BOUND_DB = 40.0
"""The limit of half precision."""
Inputs = Callable[..., dict[str, np.ndarray]]


@pytest.mark.parametrize("units", ["CPU_AND_GPU", pytest.param("CPU_AND_NE", marks=pytest.mark.full)])
@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("encode_text", "text_encoder.encoder.layer.0.output.dense"),
        pytest.param("decode_image", "autoencoder.decoder.up_blocks.0.resnets.0.conv1", marks=pytest.mark.full),
        pytest.param("denoise", "unet.mid_block.resnets.0.conv2", marks=pytest.mark.full),
    ],
)
def test_a_planted_fault_is_found(
    units: str,
    name: str,
    module: str,
    tiny_stages: Mapping[str, ExportStage],
    make_inputs: Inputs,
    tmp_path: Path,
) -> None:
    stage, arrays = tiny_stages[name], make_inputs(name)
    spoiled = copy.deepcopy(stage.module)
    with torch.no_grad():
        spoiled.get_submodule(module).weight.mul_(1.1)
    path = lower(dataclasses.replace(stage, module=spoiled), tmp_path, CoreMLOptions(units))
    found = compare(stage, arrays, *inside_for(units)(stage, tmp_path / path, arrays), BOUND_DB)
    assert found.first is not None and found.first.module == module


def test_a_right_program_stays_with_pytorch(
    tiny_stages: Mapping[str, ExportStage], make_inputs: Inputs, coreml_folder: Path
) -> None:
    stage, arrays = tiny_stages["encode_text"], make_inputs("encode_text")
    inside = inside_for("CPU_AND_GPU")
    found = compare(stage, arrays, *inside(stage, coreml_folder / "encode_text.mlpackage", arrays), BOUND_DB)
    assert found.first is None and len(found.modules) > 20
