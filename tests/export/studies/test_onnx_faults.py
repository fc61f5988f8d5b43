"""A fault that is planted in one module of an ONNX model is found there, by that module's name."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.onnx.inside import modules_of, values_inside
from export.onnx.lower import lower
from export.stages import ExportStage
from export.studies.departures import compare, find_departures
from export.studies.onnx_faults import inside
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.errors import CheckpointError, ExportError
from tests.export.evidence.planting import edit_weight

BOUND_DB = 80.0
"""The limit of float32."""
SPOILED = "unet.mid_block.resnets.0.conv2"
Inputs = Callable[..., dict[str, np.ndarray]]


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("decode_image", "autoencoder.decoder.up_blocks.0.resnets.0.conv1"),
        pytest.param("denoise", SPOILED, marks=pytest.mark.full),
        pytest.param("denoise", "unet.up_blocks.1.attentions.0.transformer_blocks.0.ff.net.2", marks=pytest.mark.full),
    ],
)
def test_a_planted_fault_is_found(
    name: str, module: str, tiny_stages: Mapping[str, ExportStage], make_inputs: Inputs, tmp_path: Path
) -> None:
    """A row of a kernel, times 1.02."""
    stage, arrays = tiny_stages[name], make_inputs(name)
    spoiled = copy.deepcopy(stage.module)
    with torch.no_grad():
        spoiled.get_submodule(module).weight[0].mul_(1.02)
    path = lower(dataclasses.replace(stage, module=spoiled), tmp_path)
    found = compare(stage, arrays, *inside(stage, tmp_path / path, arrays), BOUND_DB)
    assert found.first is not None and found.first.module == module
    assert f"departs first in {module} (" in str(found)


@pytest.mark.full
def test_float32_stays_with_pytorch_in_every_module(
    tiny_stages: Mapping[str, ExportStage], make_inputs: Inputs, onnx_folder: Path
) -> None:
    for name, stage in tiny_stages.items():
        arrays = make_inputs(name)
        found = compare(stage, arrays, *inside(stage, onnx_folder / f"{name}.onnx", arrays), BOUND_DB)
        assert found.first is None and len(found.modules) > (40 if name == "denoise" else 10)
        leaves = {row.kind for row in found.modules}
        assert ({"Linear", "LayerNorm"} if name == "encode_text" else {"Conv2d", "GroupNorm"}) <= leaves


def test_weights_in_files_of_their_own(
    tiny_stages: Mapping[str, ExportStage], make_inputs: Inputs, tmp_path: Path, onnx_folder: Path
) -> None:
    stage, arrays = tiny_stages["decode_image"], make_inputs("decode_image")
    onnx.save_model(
        onnx.load(onnx_folder / "decode_image.onnx"),
        tmp_path / "decode_image.onnx",
        save_as_external_data=True,
        location="decode_image.onnx.data",
        size_threshold=1024,
    )
    modules = modules_of(stage)
    apart, whole = (values_inside(each / "decode_image.onnx", arrays, modules) for each in (tmp_path, onnx_folder))
    assert list(apart) == list(whole) and all(np.array_equal(apart[name], whole[name]) for name in whole)


@pytest.mark.full
def test_a_bundle_s_fault_is_named(copy_of: Callable[[str], Path], tiny_checkpoint: Path) -> None:
    bundle, model = copy_of("android"), open_checkpoint(tiny_checkpoint)
    edit_weight(bundle, f"{SPOILED}.weight", np.negative)
    text, denoise, decode = find_departures(bundle, "onnx", model, BOUND_DB, inside)
    assert text.first is None and decode.first is None
    assert denoise.first is not None and denoise.first.module == SPOILED
    other = dataclasses.replace(model, source_hash="0" * 64)
    with pytest.raises(CheckpointError, match="--checkpoint: expected the checkpoint"):
        find_departures(bundle, "onnx", other, BOUND_DB, inside)


def test_a_damaged_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "denoise.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match="denoise.onnx: expected an ONNX model that runs: "):
        values_inside(tmp_path / "denoise.onnx", {}, ["a"])
