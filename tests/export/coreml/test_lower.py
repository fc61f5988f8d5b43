"""The packages of the tiny model: signatures, precision of the update, operations, metadata, silence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.coreml import OUTPUTS_KEY
from export.coreml.interpret import Program
from export.coreml.lower import lower
from export.coreml.structure import check_operations, check_signature, check_update, nodes, update_nodes
from export.signatures import STAGES, TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

Specs = dict[str, Any]


@pytest.fixture(scope="module")
def specs(coreml_folder: Path, ct: Any) -> Specs:
    """Specifications of the saved packages."""
    paths = {stage: coreml_folder / f"{stage}.mlpackage" for stage in STAGES}
    return {stage: ct.models.MLModel(str(path), skip_model_load=True).get_spec() for stage, path in paths.items()}


class Update(nn.Module):
    """What Denoise does after the U-Net, with coefficients that float16 cannot hold."""

    def __init__(self, predicted: float) -> None:
        super().__init__()
        self.conv_out = nn.Conv2d(4, 4, 3, padding=1)
        nn.init.constant_(self.conv_out.weight, 0.0)
        nn.init.constant_(self.conv_out.bias, predicted)  # type: ignore[arg-type]
        self.register_buffer("a", torch.tensor([1.0001, 0.3333]))
        self.register_buffer("b", torch.tensor([-0.1234567, 0.7654321]))

    def forward(self, latents: Tensor, step: Tensor, guidance: Tensor) -> Tensor:
        both = self.conv_out(torch.cat([latents, 2 * latents]))
        output = both[:1] + guidance * (both[1:] - both[:1])
        a, b = (self.get_buffer(name).index_select(0, step) for name in "ab")
        return a * latents + b * output


def update_stage(predicted: float = 0.5) -> ExportStage:
    latents = TensorSpec("latents", "float32", (1, 4, 8, 8))
    inputs = (latents, TensorSpec("step", "int32", (1,)), TensorSpec("guidance", "float32", (1,)))
    return ExportStage("denoise", Update(predicted).eval().requires_grad_(False), inputs, (latents,))


def test_every_stage_has_a_package(coreml_folder: Path) -> None:
    assert sorted(path.name for path in coreml_folder.iterdir()) == sorted(f"{stage}.mlpackage" for stage in STAGES)


@pytest.mark.parametrize(
    ("stage", "inputs", "output"),
    [
        ("encode_text", {"tokens": ("int32", (1, 12)), "mask": ("int32", (1, 12))}, ("context", (1, 12, 48))),
        (
            "denoise",
            {
                "latents": ("float32", (1, 4, 16, 16)),
                "step": ("int32", (1,)),
                "context": ("float32", (1, 12, 48)),
                "null_context": ("float32", (1, 12, 48)),
                "guidance": ("float32", (1,)),
            },
            ("latents_out", (1, 4, 16, 16)),
        ),
        ("decode_image", {"latents": ("float32", (1, 4, 16, 16))}, ("image", (1, 3, 32, 32))),
    ],
)
def test_signature(
    stage: str,
    inputs: dict[str, tuple[str, tuple[int, ...]]],
    output: tuple[str, tuple[int, ...]],
    specs: Specs,
) -> None:
    description = specs[stage].description
    dtypes = {65568: "float32", 131104: "int32"}  # ArrayDataType of FeatureTypes.proto
    found = {
        value.name: (dtypes[value.type.multiArrayType.dataType], tuple(value.type.multiArrayType.shape))
        for value in description.input
    }
    assert found == inputs and list(found) == list(inputs)
    (only,) = description.output
    array = only.type.multiArrayType
    assert (only.name, tuple(array.shape), dtypes[array.dataType]) == (*output, "float32")


@pytest.mark.parametrize("stage", STAGES)
def test_programs_are_for_ios_17_and_described(stage: str, specs: Specs) -> None:
    spec = specs[stage]
    assert spec.WhichOneof("Type") == "mlProgram" and spec.specificationVersion == 8
    assert spec.description.metadata.shortDescription
    features = (*spec.description.input, *spec.description.output)
    assert all(feature.shortDescription.startswith(("float32 [", "int32 [")) for feature in features)
    assert OUTPUTS_KEY in spec.description.metadata.userDefined


@pytest.mark.parametrize("stage", STAGES)
def test_no_sinusoid_is_left(stage: str, specs: Specs) -> None:
    operations = {node.operation for node in nodes(specs[stage])}
    assert not operations & {"sin", "cos"}
    assert {"linear", "matmul", "softmax"} <= operations


@pytest.mark.parametrize("stage", STAGES)
def test_constants_are_finite(stage: str, coreml_folder: Path) -> None:
    program = Program.open(coreml_folder / f"{stage}.mlpackage")
    values = [value for value in program.constants.values() if isinstance(value, Tensor)]
    assert values and all(bool(value.isfinite().all()) for value in values)


def test_the_update_alone_is_float32(specs: Specs) -> None:
    spec = specs["denoise"]
    found = [node.operation for node in update_nodes(spec, "latents_out")]
    assert sorted(set(found)) == ["add", "cast", "gather", "mul", "relu", "slice_by_index", "sub"]
    assert {name: found.count(name) for name in ("mul", "add", "sub", "gather")} == {
        "mul": 3,
        "add": 2,
        "sub": 2,
        "gather": 2,
    }
    wide = {name for node in nodes(spec) for name, dtype in node.outputs.items() if dtype == "FLOAT32"}
    update = {name for node in update_nodes(spec, "latents_out") for name in node.outputs}
    computed = {name for node in nodes(spec) if node.operation != "const" for name in node.outputs}
    assert wide & computed <= update, "float32 outside the update costs time on the phone"


def test_the_update_is_exact_to_float32(tmp_path: Path) -> None:
    stage = update_stage()
    path = lower(stage, tmp_path)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    program = Program.open(tmp_path / path)
    for step in range(2):
        inputs = (latents, torch.tensor([step], dtype=torch.int32), torch.tensor([7.3]))
        arrays = {spec.name: value.numpy() for spec, value in zip(stage.inputs, inputs, strict=True)}
        got = program.run(**arrays)["latents_out"]
        np.testing.assert_allclose(got, stage.module(*inputs), rtol=1e-6, atol=1e-6)


def test_an_update_in_half_precision_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("export.coreml.lower.precision", lambda *given: given[-1].precision.FLOAT16)
    with pytest.raises(ExportError, match=r"expected the update in float32, got .* in float16"):
        lower(update_stage(), tmp_path)
    assert not list(tmp_path.iterdir()), "what was refused is removed"


def test_a_package_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for predicted in (0.5, 0.25):
        path = lower(update_stage(predicted), tmp_path)
    assert path == "denoise.mlpackage" and [file.name for file in tmp_path.iterdir()] == [path]
    bias = [value for value in Program.open(tmp_path / path).constants.values() if isinstance(value, Tensor)]
    assert any(torch.equal(value, torch.full((4,), 0.25)) for value in bias)


def test_an_update_without_a_convolution_is_refused(specs: Specs) -> None:
    with pytest.raises(ExportError, match=r"expected 'latents' to be computed from a convolution"):
        check_update(specs["denoise"], "latents")


def test_another_signature_is_refused(specs: Specs, tiny_stages: Mapping[str, ExportStage]) -> None:
    with pytest.raises(ExportError, match=r"decode_image: expected the Core ML signature"):
        check_signature(specs["encode_text"], tiny_stages["decode_image"])


def test_a_sinusoid_is_refused(save_program: Callable[..., Path], ct: Any) -> None:
    from coremltools.converters.mil import Builder

    path = save_program(lambda x: Builder.sin(x=x), x=(1, 3))
    spec = ct.models.MLModel(str(path), skip_model_load=True).get_spec()
    with pytest.raises(ExportError, match=r"no time embedding inside the program, got operation 'sin'"):
        check_operations(spec)


class Biased(nn.Module):
    """Adds all of a buffer, by a slice: CLIP's causal mask does so."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bias", torch.arange(3.0))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.get_buffer("bias")[: x.shape[0]]
        return total


def test_a_slice_that_takes_all_is_converted(tmp_path: Path) -> None:
    spec = TensorSpec("x", "float32", (3,))
    stage = ExportStage("biased", Biased().eval(), (spec,), (TensorSpec("y", "float32", (3,)),))
    program = Program.open(tmp_path / lower(stage, tmp_path))
    np.testing.assert_array_equal(program.run(x=np.ones(3, np.float32))["y"], [1.0, 2.0, 3.0])


def test_conversion_is_silent(
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    lower(update_stage(), tmp_path)
    captured = capfd.readouterr()
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert (captured.out, captured.err, logged, list(recwarn)) == ("", "", [], [])
