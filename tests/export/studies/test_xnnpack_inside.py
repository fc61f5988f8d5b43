"""A fault planted in an XNNPACK program is named: a constant of the file, or the module where the values depart."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from export.executorch.lower import lower
from export.executorch.options import XnnpackOptions
from export.stages import ExportStage
from export.studies.departures import compare
from export.studies.xnnpack_inside import inside_with, values_inside, wrong_constant

BOUND_DB = 80.0
"""The limit of float32."""
Inputs = Callable[..., dict[str, np.ndarray]]
PLANTED = {
    "encode_text": "text_encoder.encoder.layer.0.output.dense",
    "denoise": "unet.mid_block.resnets.0.conv2",
}
"""Stage -> the module whose first row is 1.5 times too large."""


def spoiled(stage: ExportStage) -> ExportStage:
    """The stage with the fault, which is still in its last output."""
    module = copy.deepcopy(stage.module)
    with torch.no_grad():
        module.get_submodule(PLANTED[stage.name]).weight[0].mul_(1.5)
    return dataclasses.replace(stage, module=module)


stages = pytest.mark.parametrize("name", ["encode_text", pytest.param("denoise", marks=pytest.mark.full)])


@stages
@pytest.mark.parametrize("precision", ["fp32", pytest.param("fp16", marks=pytest.mark.full)])
def test_a_wrong_constant_has_the_parameters_name(
    name: str, precision: str, tiny_stages: Mapping[str, ExportStage], tmp_path: Path
) -> None:
    stage, options = tiny_stages[name], XnnpackOptions(precision, "none")
    whole, wrong = tmp_path / "whole", tmp_path / "wrong"
    for folder, each in ((whole, stage), (wrong, spoiled(stage))):
        folder.mkdir()
        lower(each, folder, options)
    assert wrong_constant(stage, whole / f"{name}.pte", options) is None
    found = wrong_constant(stage, wrong / f"{name}.pte", options)
    assert found is not None and found.parameter == f"{PLANTED[name]}.weight"
    assert float(found.got) == pytest.approx(1.5 * float(found.expected), rel=1e-3)
    assert str(found).startswith(f"{name}: {found.parameter} (XNNPACK's constant ")


@stages
def test_a_module_that_xnnpack_computes_otherwise_is_named(
    name: str, tiny_stages: Mapping[str, ExportStage], make_inputs: Inputs, tmp_path: Path
) -> None:
    """The fault is in both precisions, as one of the lowering or of the runtime would be."""
    stage, arrays = tiny_stages[name], make_inputs(name)
    inside = inside_with(XnnpackOptions())
    found = compare(stage, arrays, *inside(spoiled(stage), tmp_path, arrays), BOUND_DB)
    assert found.first is not None and found.first.module == PLANTED[name]


@stages
def test_float32_stays_with_pytorch_in_every_module(
    name: str, tiny_stages: Mapping[str, ExportStage], make_inputs: Inputs
) -> None:
    stage, arrays = tiny_stages[name], make_inputs(name)
    values = values_inside(stage, arrays, XnnpackOptions())
    found = compare(stage, arrays, values, values, BOUND_DB)
    assert found.first is None and len(found.modules) > (100 if name == "denoise" else 20)
