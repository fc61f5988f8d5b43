"""Both layouts for every deployment target: what the programs are made of, and that they compute what PyTorch does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml.interpret import Program
from export.coreml.layout import Layout, layout_of
from export.coreml.lower import exported, lower
from export.coreml.options import DEPLOYMENT_TARGETS, GPU, NEURAL_ENGINE, CoreMLOptions
from export.coreml.structure import IMAGE, nodes, signature, update_nodes
from export.coreml.weights import deferrable
from export.runners.coreml_interpreter import CoreMLInterpreterRunner
from export.signatures import TensorSpec
from export.stages import ExportStage, build_stage
from mobile_diffusion.config import ModelConfig, UNetLevel
from mobile_diffusion.transformer import SpatialTransformer
from tests.export.comparing import Arrays, arrays_of, assert_close, assert_runs_as_pytorch, outputs_of
from tests.export.coreml.test_lower import update_stage
from tests.tiny_models import BK_TINY, LINEAR, SD1, SMALL, RandomModel

HALF_DB, FLOAT32_DB = 45.0, 100.0
"""As stored; and in float32 against the same rounded weights."""
UNITS = {GPU: "CPU_AND_GPU", NEURAL_ENGINE: "CPU_AND_NE"}
VERSIONS = {"iOS16": 7, "iOS17": 8, "iOS18": 9}
HEADS, ATTENTIONS = 4, {"denoise": 2, "decode_image": 1, "encode_text": 1}
TARGETED = ("denoise", "encode_text")
"""Stages that are lowered for every system."""
LONG = {"iOS16": pytest.mark.full}
"""Whose programs are those of iOS 17 but for guards of indices."""
SYSTEMS = [pytest.param(target, marks=LONG.get(target, ())) for target in DEPLOYMENT_TARGETS]
BUDGETS = {
    ("encode_text", GPU): 58,
    ("encode_text", NEURAL_ENGINE): 99,
    ("denoise", GPU): 270,
    ("denoise", NEURAL_ENGINE): 304,
    ("decode_image", GPU): 229,
    ("decode_image", NEURAL_ENGINE): 220,
}
"""Operations of the programs of SMALL at most; two of `denoise` leave guidance of 1 and less out."""
Lowered = Callable[[str, str, str], tuple[Path, Any]]


def options(layout: str, target: str = "iOS17", pixel_buffer: bool = False) -> CoreMLOptions:
    return CoreMLOptions(compute_units=UNITS[layout], deployment_target=target, pixel_buffer=pixel_buffer)


@pytest.fixture(scope="module")
def lowered(tmp_path_factory: pytest.TempPathFactory, ct: Any) -> Lowered:
    """`lowered(stage, layout, target)`: folder and specification of a stage of SMALL, lowered once."""
    made: dict[tuple[str, str, str], tuple[Path, Any]] = {}

    def get(stage: str, layout: str, target: str) -> tuple[Path, Any]:
        key = (stage, layout, target)
        if key not in made:
            folder = tmp_path_factory.mktemp(f"{stage}-{layout}-{target}")
            path = folder / lower(build_stage(RandomModel(SMALL), stage), folder, options(layout, target))
            made[key] = folder, ct.models.MLModel(str(path), skip_model_load=True).get_spec()
        return made[key]

    return get


every_program = pytest.mark.parametrize(
    ("stage", "layout", "target"),
    [
        *(
            pytest.param(stage, layout, target, marks=LONG.get(target, ()))
            for stage in TARGETED
            for layout in UNITS
            for target in DEPLOYMENT_TARGETS
        ),
        *(("decode_image", layout, "iOS17") for layout in UNITS),
    ],
)


def counts(found: Layout, *names: str) -> dict[str, int]:
    return {name: found.operations.get(name, 0) for name in names}


@every_program
def test_what_programs_are_made_of(stage: str, layout: str, target: str, lowered: Lowered) -> None:
    _, spec = lowered(stage, layout, target)
    found, attentions = layout_of(spec), ATTENTIONS[stage]
    assert spec.specificationVersion == VERSIONS[target]
    assert found.rank <= 4 and not found.dynamic and found.total <= BUDGETS[stage, layout]
    shown = counts(found, "einsum", "softmax", "matmul", "scaled_dot_product_attention")
    heads = attentions * (1 if stage == "decode_image" else HEADS)
    fused, split = layout == GPU and target == "iOS18", layout == NEURAL_ENGINE
    assert shown == {
        "einsum": 2 * heads if split else 0,
        "softmax": heads if split else 0 if fused else attentions,
        "matmul": 0 if split or fused else 2 * attentions,
        "scaled_dot_product_attention": attentions if fused else 0,
    }
    guards = target != "iOS16" and found.gathers > 0
    assert found.operations.get("select", 0) == guards, "iOS 17 counts negative indices from the end"


@pytest.mark.parametrize("target", SYSTEMS)
def test_the_neural_engines_layout_moves_only_the_keys(target: str, lowered: Lowered) -> None:
    """One transposition for the keys of each attention, one where tokens become positions, one back."""
    sides = {"denoise": 1, "decode_image": 0, "encode_text": 2}
    for stage in TARGETED if target != "iOS17" else tuple(ATTENTIONS):
        attentions = ATTENTIONS[stage]
        found = layout_of(lowered(stage, NEURAL_ENGINE, target)[1])
        assert counts(found, "linear", "layer_norm") == {"linear": 0, "layer_norm": 0}
        assert found.operations["transpose"] == attentions + sides[stage]
        assert found.gathers == (stage == "encode_text")
        other = layout_of(lowered(stage, GPU, target)[1])
        assert other.operations["transpose"] >= 4 * attentions
        extra = found.operations["conv"] - other.operations.get("conv", 0)
        assert extra == other.operations["linear"], "every linear layer is a convolution, and nothing else is"


@every_program
def test_every_program_runs_as_pytorch(stage: str, layout: str, target: str, lowered: Lowered) -> None:
    folder, _ = lowered(stage, layout, target)
    runner = CoreMLInterpreterRunner.load(folder, {stage: f"{stage}.mlpackage"}, threads=1)
    assert_runs_as_pytorch(build_stage(RandomModel(SMALL), stage), runner, HALF_DB)


def in_float32(folder: Path, stage: ExportStage) -> Arrays:
    """What a package computes when nothing but its weights is rounded."""
    program = Program.open(folder / f"{stage.name}.mlpackage", precision="float32")
    return {program.stage_names[name]: array for name, array in program.run(**arrays_of(stage)).items()}


@pytest.mark.parametrize("layout", UNITS)
@pytest.mark.parametrize("stage", ["denoise", "encode_text"])
def test_only_rounding_tells_a_program_from_pytorch(stage: str, layout: str, lowered: Lowered) -> None:
    made = build_stage(RandomModel(SMALL), stage)
    with torch.no_grad():
        for tensor in made.module.parameters():
            tensor.copy_(tensor.half())
    assert_close(outputs_of(made, arrays_of(made)), in_float32(lowered(stage, layout, "iOS17")[0], made), FLOAT32_DB)


@pytest.mark.parametrize("stage", ATTENTIONS)
def test_only_rounding_tells_the_layouts_apart(stage: str, lowered: Lowered) -> None:
    """Also in the decoder, whose last convolution takes in what follows it before its weights are rounded."""
    made = build_stage(RandomModel(SMALL), stage)
    results = [in_float32(lowered(stage, layout, "iOS17")[0], made) for layout in UNITS]
    assert_close(*results, FLOAT32_DB)


@pytest.mark.parametrize(
    ("config", "stage"),
    [(SD1, "encode_text"), (LINEAR, "denoise"), (BK_TINY, "decode_image")],
    ids=["clip", "sd2", "taesd"],
)
def test_other_architectures_for_the_neural_engine(config: ModelConfig, stage: str, tmp_path: Path) -> None:
    made = build_stage(RandomModel(config), stage)
    path = lower(made, tmp_path, options(NEURAL_ENGINE))
    assert_runs_as_pytorch(made, CoreMLInterpreterRunner.load(tmp_path, {stage: path}, threads=1), HALF_DB)


@pytest.mark.parametrize("target", SYSTEMS)
def test_the_update_is_float32_in_the_neural_engines_layout(target: str, lowered: Lowered) -> None:
    _, spec = lowered("denoise", NEURAL_ENGINE, target)
    update = update_nodes(spec, "latents_out")
    assert {"mul", "add", "sub", "reduce_sum"} <= {node.operation for node in update}
    assert all(dtype != "FLOAT16" for node in update for dtype in node.outputs.values())
    half = [node for node in nodes(spec) if "FLOAT16" in node.outputs.values() and node.operation == "conv"]
    assert len(half) == layout_of(spec).operations["conv"], "and every convolution is float16"


def test_coefficients_are_exact_to_float32_without_a_gather(tmp_path: Path) -> None:
    stage = update_stage()
    program = Program.open(tmp_path / lower(stage, tmp_path, options(NEURAL_ENGINE)))
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for step in range(2):
        inputs = (latents, torch.tensor([step], dtype=torch.int32), torch.tensor([7.3]))
        arrays = {spec.name: value.numpy() for spec, value in zip(stage.inputs, inputs, strict=True)}
        np.testing.assert_allclose(program.run(**arrays)["latents_out"], stage.module(*inputs), rtol=1e-6, atol=1e-6)


def transformer_stage() -> ExportStage:
    """A spatial transformer on its own, wide enough that its weights are deferred; the text lies as it wants it."""
    config = dataclasses.replace(SMALL.unet, context_width=512, linear_projection=True)
    torch.manual_seed(1)
    module = SpatialTransformer(config, UNetLevel(256, 1, 1), 1).eval().requires_grad_(False)
    inputs = (TensorSpec("x", "float32", (1, 256, 4, 4)), TensorSpec("context", "float32", (1, 512, 1, 6)))
    return ExportStage("transformer", module, inputs, (TensorSpec("y", "float32", (1, 256, 4, 4)),))


def test_weights_of_projections_are_deferred_and_stored_as_they_are(tmp_path: Path) -> None:
    stage = transformer_stage()
    large = {name: tensor for name, tensor in stage.module.named_parameters() if tensor.numel() >= 2**16}
    names = deferrable(exported(stage, options(NEURAL_ENGINE)))
    assert names == {"p_" + name.replace(".", "_") for name in large} and len(names) == len(large)
    program = Program.open(tmp_path / lower(stage, tmp_path, options(NEURAL_ENGINE)))
    arrays = {spec.name: np.random.default_rng(2).standard_normal(spec.shape, np.float32) for spec in stage.inputs}
    x, context = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["context"])
    expected = stage.module(x, context.squeeze(2).transpose(1, 2)).numpy()
    assert_close({"y": expected}, program.run(**arrays), HALF_DB)


@pytest.mark.parametrize(("layout", "target"), [(GPU, "iOS16"), (NEURAL_ENGINE, "iOS17")])
def test_a_pixel_buffer_is_the_picture(layout: str, target: str, tmp_path: Path, ct: Any) -> None:
    stage = build_stage(RandomModel(SMALL), "decode_image")
    path = lower(stage, tmp_path, options(layout, target, pixel_buffer=True))
    spec = ct.models.MLModel(str(tmp_path / path), skip_model_load=True).get_spec()
    (feature,) = spec.description.output
    image = feature.type.imageType
    assert feature.type.WhichOneof("Type") == "imageType" and (image.width, image.height) == (16, 16)
    assert image.colorSpace == ct.proto.FeatureTypes_pb2.ImageFeatureType.ColorSpace.RGB
    assert signature(spec)[1] == (TensorSpec("image", IMAGE, (16, 16, 3)),)
    arrays = arrays_of(stage)
    (pixels,) = Program.open(tmp_path / path).run(**arrays).values()
    assert (pixels.dtype, pixels.shape) == (np.uint8, (16, 16, 3)) and pixels.max() > 200
    expected = outputs_of(stage, arrays)
    assert np.abs(np.rint(expected["image"][0].transpose(1, 2, 0) * 255) - pixels).max() <= 1
    runner = CoreMLInterpreterRunner.load(tmp_path, {"decode_image": path}, threads=1)
    assert_close(expected, runner.run("decode_image", **arrays), HALF_DB)


def test_only_the_picture_becomes_an_image(tmp_path: Path, ct: Any) -> None:
    stage = build_stage(RandomModel(SMALL), "encode_text")
    path = lower(stage, tmp_path, options(GPU, pixel_buffer=True))
    spec = ct.models.MLModel(str(tmp_path / path), skip_model_load=True).get_spec()
    assert signature(spec)[1] == stage.outputs
