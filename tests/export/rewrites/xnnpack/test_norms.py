"""The rewritten norms against torch's own, in float64 and with a mean far from zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.rewrites.xnnpack.norms import GroupNormByConvolution, LayerNormByLinear


def random_norm(norm: nn.GroupNorm | nn.LayerNorm) -> nn.GroupNorm | nn.LayerNorm:
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


@pytest.mark.parametrize("sides", [(5, 3), (64, 12), (36, 4)], ids=["small", "in bands", "no whole bands"])
@pytest.mark.parametrize(("groups", "channels"), [(1, 8), (4, 8), (8, 8), (16, 48)])
def test_group_norm_is_torchs(groups: int, channels: int, sides: tuple[int, int]) -> None:
    torch.manual_seed(0)
    norm = random_norm(nn.GroupNorm(groups, channels, 1e-6)).double()
    x = torch.randn(2, channels, *sides, dtype=torch.float64) * 3 + 7
    torch.testing.assert_close(GroupNormByConvolution(norm).double()(x), norm(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("side", [16, 64])
def test_group_norm_keeps_its_digits_where_the_mean_is_large(side: int) -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(2, 8)
    x = torch.randn(1, 8, side, side) + 3000.0
    exact = nn.GroupNorm(2, 8).double()(x.double())
    assert (GroupNormByConvolution(norm)(x).double() - exact).abs().max() < 1e-3


def test_layer_norm_is_torchs() -> None:
    torch.manual_seed(0)
    norm = random_norm(nn.LayerNorm(12)).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64) - 4
    torch.testing.assert_close(LayerNormByLinear(norm).double()(x), norm(x), rtol=1e-6, atol=1e-6)


def test_layer_norm_keeps_its_digits_where_the_mean_is_large() -> None:
    torch.manual_seed(0)
    norm = nn.LayerNorm(64)
    x = torch.randn(1, 5, 64) + 3000.0
    exact = nn.LayerNorm(64).double()(x.double())
    assert (LayerNormByLinear(norm)(x).double() - exact).abs().max() < 1e-3
