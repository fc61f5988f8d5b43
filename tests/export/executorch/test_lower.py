"""What the lowering leaves behind: one file, three methods, one delegate a stage, no sinusoid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from export.executorch import PROGRAM, SIGNATURE
from export.stages import STAGES, ExportStage

ALLOWED_OUTSIDE = {
    "encode_text": {"embedding", "select_copy", "unsqueeze_copy", "_to_dim_order_copy"},
    "denoise": {"index_select", "cat"},
    "decode_image": set[str](),
}
"""Look-ups, casts of the integer inputs, and the doubling of the latents: nothing that computes."""


def test_one_file_holds_three_methods(executorch_folder: Path) -> None:
    from executorch.runtime import Runtime

    assert sorted(path.name for path in executorch_folder.iterdir()) == sorted([PROGRAM, SIGNATURE])
    assert Runtime.get().load_program(executorch_folder / PROGRAM).method_names == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_xnnpack_takes_the_whole_stage(stage: str, executorch_folder: Path) -> None:
    delegation = json.loads((executorch_folder / SIGNATURE).read_text())[stage]["delegation"]
    operations = {name.split(".")[-2] if "." in name else name for name in delegation["undelegated"]}
    assert delegation["delegates"] <= (2 if stage == "encode_text" else 1)
    assert operations <= ALLOWED_OUTSIDE[stage]


def test_the_signature_is_the_stages(executorch_folder: Path, tiny_stages: Mapping[str, ExportStage]) -> None:
    signature = json.loads((executorch_folder / SIGNATURE).read_text())
    for name, stage in tiny_stages.items():
        found = [(spec["name"], spec["dtype"], tuple(spec["shape"])) for spec in signature[name]["inputs"]]
        assert found == [(spec.name, spec.dtype, tuple(spec.shape)) for spec in stage.inputs]
        assert signature[name]["output"]["name"] == stage.output.name


@pytest.mark.parametrize("stage", STAGES)
def test_no_sinusoid_and_no_timestep_is_exported(stage: str, tiny_stages: Mapping[str, ExportStage]) -> None:
    import torch

    program = torch.export.export(tiny_stages[stage].module, tiny_stages[stage].example())
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not {name for name in names if ".sin." in name or ".cos." in name or ".arange." in name}
