"""Upsampling, and the convolution that follows it, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from export.rewrites.xnnpack.upsampling import (
    UpsampleByBroadcast,
    UpsampledConvolution,
    convolutions_before_upsampling,
    upsampling,
)


def test_upsampling_is_exact() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 5, 3)
    torch.testing.assert_close(UpsampleByBroadcast()(x), F.interpolate(x, scale_factor=2.0), rtol=0, atol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mean", [0.0, 3000.0])
@pytest.mark.parametrize("sides", [(5, 3), (1, 1), (4, 8)])
def test_a_convolution_before_upsampling_is_one_behind_it(sides: tuple[int, int], mean: float, bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 4, 3, padding=1, bias=bias).double()
    x = torch.randn(2, 6, *sides, dtype=torch.float64) + mean
    torch.testing.assert_close(UpsampledConvolution(conv)(x), conv(F.interpolate(x, scale_factor=2.0)))


def test_only_an_upsampling_with_its_convolution_is_taken_from_a_sequence() -> None:
    torch.manual_seed(0)
    wanted = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    network = nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=2.0), wanted, nn.Upsample(scale_factor=2.0), nn.ReLU())
    found = convolutions_before_upsampling(network)
    assert found is not None
    assert [type(layer) for layer in found] == [nn.ReLU, UpsampledConvolution, nn.Upsample, nn.ReLU]
    x = torch.randn(1, 4, 6, 5)
    torch.testing.assert_close(found(x), network(x))
    others = [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, padding=1, groups=2)]
    for conv in others:
        assert convolutions_before_upsampling(nn.Sequential(nn.Upsample(scale_factor=2.0), conv)) is None
    assert convolutions_before_upsampling(nn.Sequential(nn.Upsample(scale_factor=3.0), wanted)) is None
    assert upsampling(nn.Upsample(scale_factor=3.0)) is None
