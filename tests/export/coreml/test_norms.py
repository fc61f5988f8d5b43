"""Group normalisation against PyTorch's own, and where half precision breaks coremltools' form of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import export.coreml.lower
from export.coreml.interpret import Program
from export.coreml.lower import lower
from export.coreml.norms import group_norm
from export.stages import ExportStage, TensorSpec

SHAPE = (1, 8, 16, 16)


def drawn(scale: float, mean: float = 0.0) -> Tensor:
    """Seeded numbers of SHAPE."""
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(5)) * scale + mean


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("affine", [True, False])
def test_it_is_pytorchs(scale: float, affine: bool) -> None:
    x = drawn(scale, mean=3 * scale)
    weight, bias = (torch.linspace(-1, 2, 8), torch.linspace(3, -1, 8)) if affine else (None, None)
    for epsilon in (1e-5, 1e-6):
        wanted = F.group_norm(x, 4, weight, bias, epsilon)
        torch.testing.assert_close(group_norm(x, 4, weight, bias, epsilon), wanted, rtol=1e-5, atol=1e-5)


def package(tmp_path: Path) -> Program:
    """A group norm on its own, as a program of half precision."""
    module = nn.GroupNorm(4, 8, eps=1e-6).eval().requires_grad_(False)
    module.bias.fill_(0.5)
    stage = ExportStage("norm", module, (TensorSpec("input", "float32", SHAPE),), (TensorSpec("y", "float32", SHAPE),))
    return Program.open(tmp_path / lower(stage, tmp_path))


@pytest.mark.parametrize("scale", [1e-5, 1e-2, 1.0, 100.0, 300.0, 1e4])
def test_in_half_precision_it_holds_at_every_scale(scale: float, tmp_path: Path) -> None:
    x = drawn(scale).half().float()
    got = package(tmp_path).run(input=x.numpy())["y"]
    np.testing.assert_allclose(got, F.group_norm(x, 4, eps=1e-6) + 0.5, atol=0.01)


def test_coremltools_own_form_loses_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why ours is needed: values a few hundred from their mean come out as the bias alone, a picture of one colour."""
    own = export.coreml.lower.exported

    def undecomposed(stage: ExportStage) -> torch.export.ExportedProgram:
        return torch.export.export(stage.module, (), stage.example()).run_decompositions({})

    monkeypatch.setattr(export.coreml.lower, "exported", undecomposed)
    x = drawn(300.0)
    lost = package(tmp_path).run(input=x.numpy())["y"]
    np.testing.assert_array_equal(lost, np.full(SHAPE, 0.5, np.float32))
    monkeypatch.setattr(export.coreml.lower, "exported", own)
    assert package(tmp_path).run(input=x.numpy())["y"].std() > 0.9


def test_no_operation_has_an_epsilon_of_its_own(tmp_path: Path) -> None:
    """coremltools' inverse and rsqrt add one, 1e-4 by default."""
    operations = {instruction.operation for instruction in package(tmp_path).instructions}
    assert {"reduce_max", "reduce_mean", "real_div", "sqrt"} <= operations
    assert not operations & {"rsqrt", "inverse"}
