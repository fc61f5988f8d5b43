"""What the lowering writes: files that ExecuTorch's own runtime and readers know, with our packages inside."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from coremltools.proto.Model_pb2 import Model
from executorch.exir import EdgeProgramManager, to_edge_transform_and_lower
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.runtime import Runtime

from export.coreai.options import CoreAIOptions
from export.coreml.options import CoreMLOptions
from export.coreml.package import SPECIFICATION, WEIGHTS
from export.delegates import coreml
from export.delegates.lower import lower
from export.delegates.options import DelegateOptions
from export.delegates.read import read_program
from export.executorch.signature import read_delegation
from export.runners.executorch import DTYPE_CODES
from export.signatures import STAGES
from export.stages import ExportStage
from mobile_diffusion.errors import ConfigError

Stages = Mapping[str, ExportStage]


def unpacked(path: Path, stage: ExportStage, folder: Path) -> Path:
    """The package inside a program."""
    inputs, outputs = ([spec.name for spec in specs] for specs in (stage.inputs, stage.outputs))
    return coreml.unpack(path, read_program(path, stage.name), inputs, outputs, folder)


@pytest.mark.parametrize("name", STAGES)
def test_executorchs_runtime_reads_the_tensors_of_the_stage(
    name: str, delegates_folder: Path, tiny_stages: Stages
) -> None:
    program = Runtime.get().load_program(delegates_folder / f"{name}.pte")
    assert program.method_names == {name}
    meta = program.metadata(name)
    tensors = [meta.input_tensor_meta(number) for number in range(meta.num_inputs())]
    tensors += [meta.output_tensor_meta(number) for number in range(meta.num_outputs())]
    specs = [*tiny_stages[name].inputs, *tiny_stages[name].outputs]
    assert [(each.dtype(), tuple(each.sizes())) for each in tensors] == [
        (DTYPE_CODES[spec.dtype], spec.shape) for spec in specs
    ]


@pytest.mark.parametrize("name", STAGES)
def test_one_delegate_with_nothing_outside(name: str, delegates_folder: Path) -> None:
    delegation = read_delegation(delegates_folder / f"{name}.pte")
    assert (delegation.delegates, delegation.undelegated) == (1, {})
    program = deserialize_pte_binary((delegates_folder / f"{name}.pte").read_bytes()).program  # upstream's reader
    (plan,) = program.execution_plan
    assert [delegate.id for delegate in plan.delegates] == ["CoreMLBackend"]
    assert [type(each.instr_args).__name__ for chain in plan.chains for each in chain.instructions] == ["DelegateCall"]
    assert plan.operators == []


@pytest.mark.parametrize("name", STAGES)
def test_the_package_inside_is_the_one_of_the_runtime_coreml(
    name: str, delegates_folder: Path, coreml_folder: Path, tiny_stages: Stages, tmp_path: Path
) -> None:
    inside, alone = (
        unpacked(delegates_folder / f"{name}.pte", tiny_stages[name], tmp_path),
        coreml_folder / f"{name}.mlpackage",
    )
    specifications = [Model.FromString((package / SPECIFICATION).read_bytes()) for package in (inside, alone)]
    assert specifications[0] == specifications[1]  # bytes differ in the order of maps
    weights = WEIGHTS / "weight.bin"
    assert (inside / weights).read_bytes() == (alone / weights).read_bytes()


class Small(torch.nn.Module):
    """Two inputs and two outputs."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sum and difference."""
        return x + y, x - y


def by_executorch(module: torch.nn.Module, *inputs: torch.Tensor, skip: list[str] | None = None) -> EdgeProgramManager:
    """A module lowered by ExecuTorch's own partitioner for Core ML."""
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    partitioner = CoreMLPartitioner(skip_ops_for_coreml_delegation=skip)
    return to_edge_transform_and_lower({"small": torch.export.export(module, inputs)}, partitioner=[partitioner])


def metadata(path: Path, stage: str, folder: Path) -> dict[str, Any]:
    """`metadata.json` in a delegate, and the names beside it."""
    from executorch.backends.apple.coreml import executorchcoreml

    payload = bytes(read_program(path, stage).payload)
    assert executorchcoreml.unflatten_directory_contents(payload, str(folder))
    root = folder / coreml.ROOT
    values: dict[str, Any] = json.loads((root / coreml.METADATA).read_text())
    return values | {"files": {file.name for file in root.iterdir()} - {"debug_info.json"}}


def test_the_payload_is_laid_out_as_executorch_lays_it_out(delegates_folder: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "small.pte"
    with theirs.open("wb") as file:
        by_executorch(Small(), torch.ones(2), torch.ones(2)).to_executorch().write_to_file(file)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    wanted = metadata(theirs, "small", tmp_path / "theirs")
    found = metadata(delegates_folder / "denoise.pte", "denoise", tmp_path / "ours")
    assert found.keys() == wanted.keys() and found["files"] == wanted["files"]
    assert wanted["inputNames"] == ["x", "y"]  # the order of the call, as ours
    assert found["inputNames"] == ["latents", "step", "context", "null_context", "guidance"]
    assert found["outputNames"] == ["latents_out"]
    assert all(each["identifier"].startswith("executorch_") for each in (wanted, found))


def test_equal_packages_have_one_identifier_and_others_another(
    delegates_folder: Path, tiny_stages: Stages, tmp_path: Path
) -> None:
    packages = []
    for number, name in enumerate(("decode_image", "decode_image", "encode_text")):
        (tmp_path / str(number)).mkdir()
        packages.append(unpacked(delegates_folder / f"{name}.pte", tiny_stages[name], tmp_path / str(number)))
    first, same, other = map(coreml.digest, packages)
    assert first == same != other
    (packages[1] / WEIGHTS / "weight.bin").write_bytes(b"0")
    assert coreml.digest(packages[1]) != first


def test_choices_reach_the_package_and_the_phone(tiny_stages: Stages, tmp_path: Path) -> None:
    options = DelegateOptions(coreml=CoreMLOptions(compute_units="CPU_AND_NE", compression="palettize-4"))
    assert options.compression_name == "palettize-4" and options.settings()["compute_units"] == "CPU_AND_NE"
    path = tmp_path / lower(tiny_stages["decode_image"], tmp_path, options)
    assert sorted(os.listdir(tmp_path)) == ["decode_image.json", "decode_image.pte"], "nothing half-written is left"
    assert read_program(path, "decode_image").settings == {"compute_units": b"cpu_and_ne"}
    (tmp_path / "inside").mkdir()
    spec = coreml.specification(unpacked(path, tiny_stages["decode_image"], tmp_path / "inside"))
    assert b"constexpr_lut_to_dense" in spec.SerializeToString()  # type: ignore[attr-defined]


def test_modules_in_float32_are_those_of_the_programs_inside() -> None:
    inside = DelegateOptions("coreai", coreai=CoreAIOptions(mixed_precision="unet.conv_in"))
    assert (inside.mixed_precision, inside.settings()["mixed_precision"]) == ("unet.conv_in", "unet.conv_in")
    decided = replace(inside, mixed_precision="none")
    assert "mixed_precision" not in decided.settings() and decided.program == CoreAIOptions(mixed_precision="none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delegate": "mps"}, "delegate: expected one of coreml.*, got 'mps'"),
        ({"coreml": CoreMLOptions(pixel_buffer=True)}, "pixel_buffer: expected a tensor for executorch"),
    ],
)
def test_choices_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DelegateOptions(**options)
