"""What the lowering writes: a program per stage with one method, few delegates, no sinusoid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from export.signatures import STAGES
from export.stages import ExportStage

ALLOWED_OUTSIDE = {
    "encode_text": {"embedding", "select_copy", "unsqueeze_copy", "_to_dim_order_copy"},
    "denoise": {"index_select", "cat"},
    "decode_image": set[str](),
}
"""Look-ups, casts of the integer inputs, and the doubling of the latents: nothing that computes."""


def signature(folder: Path, stage: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / f"{stage}.json").read_text())
    return values


def test_a_program_a_stage_with_one_method(executorch_folder: Path) -> None:
    from executorch.runtime import Runtime

    expected = [f"{stage}.{kind}" for stage in STAGES for kind in ("json", "pte")]
    assert sorted(path.name for path in executorch_folder.iterdir()) == sorted(expected)
    for stage in STAGES:
        assert Runtime.get().load_program(executorch_folder / f"{stage}.pte").method_names == {stage}


@pytest.mark.parametrize("stage", STAGES)
def test_xnnpack_takes_the_whole_stage(stage: str, executorch_folder: Path) -> None:
    delegation = signature(executorch_folder, stage)["delegation"]
    operations = {name.split(".")[-2] if "." in name else name for name in delegation["undelegated"]}
    assert delegation["delegates"] <= (2 if stage == "encode_text" else 1)
    assert operations <= ALLOWED_OUTSIDE[stage]
    assert delegation["planned_bytes"] > 0


def test_the_signature_is_the_stages(executorch_folder: Path, tiny_stages: Mapping[str, ExportStage]) -> None:
    for name, stage in tiny_stages.items():
        found = signature(executorch_folder, name)
        for given, wanted in ((found["inputs"], stage.inputs), (found["outputs"], stage.outputs)):
            specs = [(spec["name"], spec["dtype"], tuple(spec["shape"])) for spec in given]
            assert specs == [(spec.name, spec.dtype, tuple(spec.shape)) for spec in wanted]


@pytest.mark.parametrize("stage", STAGES)
def test_no_sinusoid_and_no_timestep_is_exported(stage: str, tiny_stages: Mapping[str, ExportStage]) -> None:
    program = torch.export.export(tiny_stages[stage].module, (), tiny_stages[stage].example())
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not {name for name in names if ".sin." in name or ".cos." in name or ".arange." in name}
