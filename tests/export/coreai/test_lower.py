"""What a saved asset holds: numbers in the right precision, names of modules, no path of the exporting computer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from export.coreai.asset import check_asset
from export.coreai.half import in_half
from export.coreai.inspect import operations, storage
from export.coreai.lower import check_storage, exported, lower
from export.coreai.options import CoreAIOptions
from export.signatures import PARTS, STAGES
from export.stages import ExportStage
from mobile_diffusion.errors import ConfigError, ExportError
from tests.export.comparing import arrays_of, outputs_of, signal_to_noise
from tests.export.coreai_packages import needs_coreai

pytestmark = needs_coreai


@pytest.mark.parametrize("stage", STAGES)
def test_the_numbers_are_in_the_precision(stage: str, coreai_folder: Path, coreai_half_folder: Path) -> None:
    single, half = (storage(folder / f"{stage}.aimodel") for folder in (coreai_folder, coreai_half_folder))
    assert "Float16" not in single
    assert half["Float16"] > 50 * half["Float32"]
    assert half["Float16"] == pytest.approx(single["Float32"], rel=0.02)


def test_the_update_and_its_tables_stay_in_float32(tiny_stages: Mapping[str, ExportStage]) -> None:
    program = exported(tiny_stages["denoise"], CoreAIOptions())
    nodes = list(program.graph_module.graph.nodes)
    last = max(number for number, node in enumerate(nodes) if node.target == torch.ops.aten.convolution.default)
    kinds = {node.meta["val"].dtype for node in nodes[last + 2 :] if isinstance(node.meta.get("val"), torch.Tensor)}
    assert nodes[last].meta["val"].dtype == torch.float16 and kinds == {torch.float32}
    tables = [tensor.dtype for name, tensor in program.state_dict.items() if name.startswith("update")]
    assert tables and set(tables) == {torch.float32}


def test_attention_is_one_operation(coreai_folder: Path) -> None:
    assert operations(coreai_folder / "decode_image.aimodel")["softmax"] == 1
    text = (coreai_folder / "decode_image.aimodel" / "main.mlirb").read_bytes()
    assert b"scaled_dot_product_attention" in text


@pytest.mark.parametrize("stage", STAGES)
def test_it_names_modules_and_no_file_of_this_computer(stage: str, coreai_folder: Path) -> None:
    names = {"encode_text": b"encoder.layer.1.", "denoise": b"unet.mid_block.", "decode_image": b"decoder.conv_in"}
    text = (coreai_folder / f"{stage}.aimodel" / "main.mlirb").read_bytes()
    assert names[stage] in text
    for foreign in (str(Path.cwd()).encode(), b"site-packages", b"blocks.py", b"modules/conv.py"):
        assert foreign not in text


def test_the_stage_is_left_as_it_was(tiny_stages: Mapping[str, ExportStage]) -> None:
    stage = tiny_stages["decode_image"]
    half = in_half(stage.module, PARTS["decode_image"])
    assert {tensor.dtype for tensor in stage.module.parameters()} == {torch.float32}
    assert {tensor.dtype for tensor in half.parameters()} == {torch.float16}


def test_a_module_can_stay_in_float32(tiny_stages: Mapping[str, ExportStage]) -> None:
    stage = tiny_stages["decode_image"]
    arrays = arrays_of(stage)
    wanted = outputs_of(stage, arrays)["image"]
    ratios = []
    for kept in (set(), {"decoder.conv_out", "decoder.up_blocks.1"}, {"decoder"}):
        module = in_half(stage.module, PARTS["decode_image"], kept)
        assert module.autoencoder.decoder.conv_out.weight.dtype == (torch.float32 if kept else torch.float16)
        ratios.append(
            signal_to_noise(wanted, outputs_of(ExportStage("x", module, stage.inputs, stage.outputs), arrays)["image"])
        )
    assert ratios[0] < ratios[1] < ratios[2]
    with pytest.raises(ConfigError, match="float32: expected names of modules in autoencoder, got 'decoder.nose'"):
        in_half(stage.module, PARTS["decode_image"], {"decoder.nose"})


def test_a_program_in_another_precision_is_refused(coreai_folder: Path) -> None:
    with pytest.raises(
        ExportError, match="expected a program in fp16, got [0-9,]+ numbers in float32 and 0 in float16"
    ):
        check_storage(coreai_folder / "denoise.aimodel", "fp16")


def test_nothing_is_left_when_lowering_fails(tiny_stages: Mapping[str, ExportStage], tmp_path: Path) -> None:
    class Unknown(torch.nn.Module):
        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svdvals(latents)

    stage = tiny_stages["decode_image"]
    with pytest.raises(ExportError, match="decode_image: expected a Core AI program, got from coreai-torch"):
        lower(ExportStage("decode_image", Unknown(), stage.inputs, stage.outputs), tmp_path, CoreAIOptions("fp32"))
    assert list(tmp_path.iterdir()) == []


def test_the_metadata_say_who_wrote_it(coreai_folder: Path) -> None:
    metadata = check_asset(coreai_folder / "denoise.aimodel")
    assert metadata["producer"].startswith("coreai-core ")
    assert json.loads((coreai_folder / "denoise.aimodel" / "metadata.json").read_text()) == metadata


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"precision": "int8"}, "precision: expected one of fp16, fp32 for coreai, got 'int8'"),
        ({"compute_unit": "ALL"}, "compute_unit: expected one of cpu, gpu, neural_engine, got 'ALL'"),
    ],
)
def test_options_name_their_choices(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CoreAIOptions(**values)
