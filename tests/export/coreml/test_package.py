"""Packages as folders: what is in them, and that nothing is left beside them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from export.coreml.lower import lower
from export.coreml.package import CONTENT, WEIGHTS
from export.signatures import TensorSpec
from export.stages import ExportStage


@pytest.fixture
def stage() -> ExportStage:
    """A linear layer."""
    specs = (TensorSpec("input", "float32", (1, 64)),), (TensorSpec("y", "float32", (1, 64)),)
    return ExportStage("linear", nn.Linear(64, 64).eval().requires_grad_(False), *specs)


def test_a_package_has_its_manifest_specification_and_weights(stage: ExportStage, tmp_path: Path) -> None:
    path = tmp_path / lower(stage, tmp_path)
    files = sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())
    assert files == ["Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin", "Manifest.json"]
    manifest = json.loads((path / "Manifest.json").read_text())
    paths = {entry["path"] for entry in manifest["itemInfoEntries"].values()}
    assert {str(CONTENT.parent / place) for place in paths} == {str(CONTENT / "model.mlmodel"), str(WEIGHTS)}


def test_coremltools_reads_it(stage: ExportStage, tmp_path: Path, ct: Any) -> None:
    model = ct.models.MLModel(str(tmp_path / lower(stage, tmp_path)), skip_model_load=True)
    assert model.short_description == "linear" and Path(model.weights_dir).is_dir()


def test_nothing_is_left_beside_it(stage: ExportStage, tmp_path: Path) -> None:
    folder, before = tmp_path / "out", tempfile.tempdir
    folder.mkdir()
    lower(stage, folder)
    assert [file.name for file in folder.iterdir()] == ["linear.mlpackage"]
    assert tempfile.tempdir == before


def test_nothing_is_left_of_a_stage_that_fails(stage: ExportStage, tmp_path: Path) -> None:
    class Unknown(nn.Module):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svdvals(input)

    with pytest.raises(NotImplementedError):
        lower(ExportStage("unknown", Unknown(), stage.inputs, stage.outputs), tmp_path)
    assert not list(tmp_path.iterdir())
