"""A program against PyTorch by name: the module that departs is the one that was spoiled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.coreml.lower import lower
from export.signatures import TensorSpec
from export.stages import ExportStage
from export.studies.faults.examine import Subject, examine
from export.studies.faults.modules import ModuleDistance, best_match, first_departure, first_wrong
from export.studies.faults.provoke import Filling
from export.studies.faults.report import CaseModules
from mobile_diffusion.errors import ExportError

SPEC = TensorSpec("latents", "float32", (1, 4, 8, 8))


class Shifted(nn.Module):
    """x, with an offset added and taken away again, which half precision does not forgive."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offset", torch.full((1, 4, 1, 1), 3000.0))
        self.register_buffer("back", torch.full((1, 4, 1, 1), -3000.0))

    def forward(self, x: Tensor) -> Tensor:
        """As x."""
        return (x + self.offset).clamp(-1e4, 1e4) + self.back


def network(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers).eval().requires_grad_(False)


def conv() -> nn.Conv2d:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Conv2d(4, 4, 3, padding=1)


def ordinary(lowered: nn.Module, reference: nn.Module, folder: Path) -> CaseModules:
    """The rows of a program against another module, on ordinary input."""
    stage = ExportStage("part", lowered, (TensorSpec("input", *shape_of(SPEC)),), (TensorSpec("y", *shape_of(SPEC)),))
    found = examine(Subject(folder / lower(stage, folder), Filling(), reference))
    return found.against_pytorch[0]


def shape_of(spec: TensorSpec) -> tuple[str, tuple[int, ...]]:
    return spec.dtype, spec.shape


def test_rounding_is_told_from_a_wrong_graph(tmp_path: Path) -> None:
    layers = network(conv(), nn.SiLU(), Shifted(), conv())
    case = ordinary(layers, layers, tmp_path)
    departure = first_departure(case.modules, 40.0)
    assert departure is not None and (departure.module, departure.kind) == ("2", "Shifted")
    assert departure.float32_db > 60 and first_wrong(case.modules, 40.0) is None


def test_a_wrong_graph_is_found_by_its_first_wrong_module(tmp_path: Path) -> None:
    layers = network(conv(), nn.SiLU(), conv(), conv())
    spoiled = copy.deepcopy(layers)
    spoiled[2].weight.mul_(1.1)  # type: ignore[union-attr, operator]
    case = ordinary(spoiled, layers, tmp_path)
    wrong = first_wrong(case.modules, 40.0)
    assert wrong is not None and wrong.module == "2"
    assert first_departure(case.modules, 40.0) is None, "not by rounding"
    assert [row.module for row in case.modules] == ["0", "1", "2", "3", ""]


def test_nan_departs(tmp_path: Path) -> None:
    rows = [ModuleDistance("a", "A", "x", 60.0, 70.0), ModuleDistance("b", "B", "y", float("nan"), 70.0)]
    departure = first_departure(rows, 40.0)
    assert departure is not None and departure.module == "b"


def test_a_value_in_another_form_is_no_departure() -> None:
    merged = [ModuleDistance("a", "A", "x", 3.0, 3.0), ModuleDistance("b", "B", "y", 60.0, 70.0)]
    assert first_departure(merged, 40.0) is None and first_wrong(merged, 40.0) is None


def test_layouts_are_matched(normal: Callable[..., np.ndarray]) -> None:
    reference = torch.from_numpy(normal(2, 16, 4, 4))
    for layout in (
        reference.flatten(2).transpose(1, 2),  # (B, S, C)
        reference.reshape(2, 16, 1, 16),
        reference.permute(0, 2, 3, 1),
    ):
        ratio = best_match([None, reference], layout.contiguous() + 1e-4)
        assert ratio is not None and 70 < ratio < 90
    wrong = best_match(reference, reference.flip(0))
    assert wrong is not None and wrong < 5
    assert best_match(reference, reference[:1]) is None and best_match("text", reference) is None


def test_precisions_are_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="precision: expected one of as-stored, fp16-accumulate, got 'half'"):
        examine(Subject(tmp_path / "none.mlpackage", Filling()), "half")
