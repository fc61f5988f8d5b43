"""What a saved asset holds: numbers in the right precision, names of modules, no path of the exporting computer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.coreai.black_image import norm_in_half
from benchmarks.coreml.black_image import amplified
from export.coreai.asset import check_asset
from export.coreai.graph import exported, half_program
from export.coreai.inspect import operations, storage
from export.coreai.lower import check_storage, lower
from export.coreai.options import CoreAIOptions
from export.mixed.names import covers, spelled
from export.mixed.rounded import everything, is_float, module_of, nothing
from export.runners.coreai import CoreAIRunner
from export.signatures import STAGES
from export.stages import DecodeImage, ExportStage, build_stage
from mobile_diffusion.errors import ConfigError, ExportError
from tests.export.comparing import arrays_of, outputs_of, signal_to_noise
from tests.export.coreai_packages import needs_coreai
from tests.tiny_models import TINY, emoji_words, untrained

pytestmark = needs_coreai
ALIKE_DB = 4.0
"""Two programs that round at slightly different places differ by so much in the noise that they make."""


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


def read_weights(program: torch.export.ExportedProgram) -> dict[str, torch.dtype]:
    """The dtype of every weight that an operation reads, by name."""
    used = {node.name for node in program.graph.find_nodes(op="placeholder") if node.users}
    names = program.graph_signature.inputs_to_parameters
    return {names[each]: program.state_dict[names[each]].dtype for each in names if each in used}


def test_the_stage_is_left_as_it_was(tiny_stages: Mapping[str, ExportStage]) -> None:
    stage = tiny_stages["decode_image"]
    half = exported(stage, CoreAIOptions())
    assert {tensor.dtype for tensor in stage.module.parameters()} == {torch.float32}
    assert set(read_weights(half).values()) == {torch.float16}


NAMED = ("unet.*.attn1:own", "unet.*.attn2:own", "unet.conv_in", "unet.up_blocks.0.resnets.0")


def test_named_modules_and_no_others_are_float32(tiny_stages: Mapping[str, ExportStage]) -> None:
    """The update, which comes after the last convolution, is float32 in any case."""
    stage = tiny_stages["denoise"]
    half, program = half_program(stage), exported(stage, CoreAIOptions(mixed_precision=spelled(NAMED)))
    exact = {node.name for node in half.exact}
    found: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.name in {each.name for each in half.operations} - exact and is_float(value):
            found[covers(NAMED, "denoise", module_of(node))].add(value.dtype)
    assert found == {True: {torch.float32}, False: {torch.float16}}
    weights = {name: dtype for name, dtype in read_weights(program).items() if name.startswith("unet.")}
    wide = {name for name in weights if name.startswith(("unet.conv_in.", "unet.up_blocks.0.resnets.0."))}
    assert {name for name, dtype in weights.items() if dtype == torch.float32} == wide


@pytest.mark.parametrize("name", STAGES)
def test_pytorch_measures_the_rounding_of_the_asset(
    name: str, tiny_stages: Mapping[str, ExportStage], coreai_half_folder: Path
) -> None:
    """Apple's runtime runs the saved asset; the measurement ran the graph in float32 and rounded its results."""
    stage = tiny_stages[name]
    arrays = arrays_of(stage)
    half = half_program(stage)
    inputs = {key: torch.from_numpy(array) for key, array in arrays.items()}
    exact, rounded = (half.run(inputs, wide)[0].numpy() for wide in (everything, nothing))
    stored = next(iter(CoreAIRunner.load(coreai_half_folder, {name: f"{name}.aimodel"}).run(name, **arrays).values()))
    assert signal_to_noise(exact, rounded) == pytest.approx(signal_to_noise(exact, stored), abs=ALIKE_DB)


def test_a_decoder_with_large_numbers_inside_keeps_its_picture(tmp_path: Path) -> None:
    """The black picture of docs/coreml.md, by Apple's runtime; in a norm written out in half, squares are infinite."""
    model = untrained(TINY, emoji_words(12))
    stage = build_stage(model, "decode_image")
    loud = DecodeImage(amplified(model.parts["autoencoder"], 1e4)).eval()  # type: ignore[arg-type]
    arrays = arrays_of(stage)
    wanted = outputs_of(stage, arrays)["image"]
    path = lower(replace(stage, module=loud), tmp_path, CoreAIOptions())
    found = CoreAIRunner.load(tmp_path, {"decode_image": path}).run("decode_image", **arrays)["image"]
    assert signal_to_noise(wanted, found) > 45.0
    weight, bias = torch.ones(1).half(), torch.zeros(1).half()
    naive = norm_in_half(torch.tensor([[[-300.0, 300.0]]]).half(), weight, bias, 1, 1, 2, 1, 1e-6)[0]
    assert not naive.any(), "of -1 and 1 nothing is left"


def test_an_asset_with_modules_in_float32_is_closer(tiny_stages: Mapping[str, ExportStage], tmp_path: Path) -> None:
    stage = tiny_stages["decode_image"]
    arrays = arrays_of(stage)
    wanted, ratios = outputs_of(stage, arrays)["image"], []
    for number, names in enumerate(
        ("none", "autoencoder.decoder.conv_out,autoencoder.decoder.up_blocks.1", "decode_image")
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = lower(stage, folder, CoreAIOptions(mixed_precision=names))
        found = CoreAIRunner.load(folder, {"decode_image": path}).run("decode_image", **arrays)["image"]
        ratios.append(signal_to_noise(wanted, found))
    assert ratios[0] + 1 < ratios[1] < ratios[2] - 20


def test_a_program_in_another_precision_is_refused(coreai_folder: Path) -> None:
    with pytest.raises(
        ExportError,
        match="expected a program in fp16, got [0-9,]+ numbers in float32, 0 in float16 and 0 of 8 bits or fewer",
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
