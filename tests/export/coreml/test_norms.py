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
from export.coreml.norms import group_norm, layer_norm
from export.coreml.options import CoreMLOptions
from export.signatures import TensorSpec
from export.stages import ExportStage

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

    def undecomposed(stage: ExportStage, options: CoreMLOptions) -> torch.export.ExportedProgram:
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


def test_one_outlier_among_many_leaves_a_mean_that_is_no_subnormal(tmp_path: Path) -> None:
    """Of 32768 squares of which one is 1 and the others nothing, the mean would be below float16's normal numbers."""
    shape = (1, 8, 128, 128)
    specs = (TensorSpec("input", "float32", shape),), (TensorSpec("y", "float32", shape),)
    stage = ExportStage("norm", nn.GroupNorm(4, 8, eps=1e-6).eval().requires_grad_(False), *specs)
    program = Program.open(tmp_path / lower(stage, tmp_path))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(5)) * 1e-2
    x[:, :, 0, 0] = 200.0
    x[:, 1::2, 0, 0] = 0.0
    means: list[float] = []
    got = program.run(
        lambda instruction, operands, exact, stored: (
            means.append(float(stored[0].abs().min())) if instruction.name.startswith("mean_1") else None
        ),
        input=x.numpy(),
    )["y"]
    assert means and min(means) >= 2.0**-14
    wanted = F.group_norm(x, 4, eps=1e-6)
    np.testing.assert_allclose(got[:, ::2, 0, 0], wanted[:, ::2, 0, 0], rtol=2e-3)


TOKENS = (1, 6, 32)


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1.0, 20.0, 300.0, 1e4])
@pytest.mark.parametrize("mean", [0.0, 2.0])
def test_layer_norm_is_pytorchs(scale: float, mean: float) -> None:
    x = torch.randn(TOKENS, generator=torch.Generator().manual_seed(5)) * scale + mean * scale
    weight, bias = torch.linspace(-1, 2, 32), torch.linspace(3, -1, 32)
    wanted = F.layer_norm(x, (32,), weight, bias, 1e-5)
    torch.testing.assert_close(layer_norm(x, [32], weight, bias, 1e-5), wanted, rtol=1e-4, atol=1e-4)


def test_rows_of_ordinary_size_are_untouched() -> None:
    x = torch.randn(TOKENS, generator=torch.Generator().manual_seed(5)) * 10
    assert torch.equal(layer_norm(x, [32]), F.layer_norm(x, (32,)))


def test_a_layer_norm_is_given_nothing_that_it_could_lose(tmp_path: Path) -> None:
    """One token of thousands, as text encoders have them, among ordinary ones: no difference squares to infinity."""
    module = nn.LayerNorm(32).eval().requires_grad_(False)
    specs = (TensorSpec("input", "float32", TOKENS),), (TensorSpec("y", "float32", TOKENS),)
    stage = ExportStage("norm", module, *specs)
    program = Program.open(tmp_path / lower(stage, tmp_path))
    x = torch.randn(TOKENS, generator=torch.Generator().manual_seed(5))
    x[:, 0] *= 9000.0
    given: list[Tensor] = []
    program.run(
        lambda instruction, operands, exact, stored: (
            given.append(operands["x"]) if instruction.operation == "layer_norm" else None
        ),
        input=x.numpy(),
    )
    assert float((given[0] - given[0].mean(-1, keepdim=True)).square().max()) < 2**14
    for precision in ("as-stored", "fp16-accumulate"):
        got = Program.open(tmp_path / "norm.mlpackage", precision).run(input=x.numpy())["y"]
        np.testing.assert_allclose(got, F.layer_norm(x, (32,)), atol=0.02)


def test_more_axes_than_one_are_refused() -> None:
    with pytest.raises(ValueError, match="over the last axis, got one over 2"):
        layer_norm(torch.zeros(2, 3, 4), [3, 4])
