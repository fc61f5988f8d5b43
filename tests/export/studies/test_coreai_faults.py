"""A fault that is planted in one module of a program is found there, by that module's name."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from export.coreai.lower import lower
from export.coreai.options import CoreAIOptions
from export.coreai.sums import Sums
from export.stages import ExportStage
from export.studies.coreai_faults import inside_with
from export.studies.departures import compare
from tests.export.coreai_packages import needs_coreai

pytestmark = needs_coreai
BOUND_DB = 40.0
PLANTED = [
    pytest.param("denoise", "unet.mid_block.resnets.0.conv2", "weight", marks=pytest.mark.full),
    ("denoise", "unet.up_blocks.1.attentions.0.transformer_blocks.0.ff.net.2", "weight"),
    pytest.param("denoise", "unet.down_blocks.0.resnets.0.norm2", "bias", marks=pytest.mark.full),
    ("decode_image", "autoencoder.decoder.up_blocks.0.resnets.0.conv1", "weight"),
]


@pytest.mark.parametrize(("name", "module", "parameter"), PLANTED)
def test_a_planted_fault_is_found(
    name: str,
    module: str,
    parameter: str,
    tiny_stages: Mapping[str, ExportStage],
    make_inputs: Callable[..., dict[str, np.ndarray]],
    tmp_path: Path,
) -> None:
    stage = tiny_stages[name]
    spoiled = copy.deepcopy(stage.module)
    with torch.no_grad():
        getattr(spoiled.get_submodule(module), parameter).mul_(1.5)
    path = lower(dataclasses.replace(stage, module=spoiled), tmp_path, CoreAIOptions())
    arrays = make_inputs(name)
    found = compare(stage, arrays, *inside_with(Sums.FLOAT32)(stage, tmp_path / path, arrays), BOUND_DB)
    assert found.first is not None and found.first.module == module
    assert f"departs first in {module} (" in str(found)


def test_float32_stays_with_pytorch_in_every_module(
    tiny_stages: Mapping[str, ExportStage], make_inputs: Callable[..., dict[str, np.ndarray]], coreai_folder: Path
) -> None:
    arrays = make_inputs("denoise")
    values = inside_with(Sums.FLOAT32)(tiny_stages["denoise"], coreai_folder / "denoise.aimodel", arrays)
    found = compare(tiny_stages["denoise"], arrays, *values, 90.0)
    assert found.first is None and len(found.modules) > 40
    leaves = {row.kind for row in found.modules}
    assert {"Conv2d", "Linear", "GroupNorm", "LayerNorm"} <= leaves
