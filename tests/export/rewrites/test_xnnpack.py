"""The rewritten blocks against torch's own, in float64 and with a mean far from zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from export.rewrites import xnnpack
from export.rewrites.xnnpack import GroupNormByConvolution, LayerNormByLinear, UpsampleByBroadcast, rewrite
from export.stages import ExportStage
from mobile_diffusion.blocks import Upsample


def random_norm(norm: nn.GroupNorm | nn.LayerNorm) -> nn.GroupNorm | nn.LayerNorm:
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


@pytest.mark.parametrize(("groups", "channels"), [(1, 8), (4, 8), (8, 8), (16, 48)])
def test_group_norm_is_torchs(groups: int, channels: int) -> None:
    torch.manual_seed(0)
    norm = random_norm(nn.GroupNorm(groups, channels, 1e-6)).double()
    x = torch.randn(2, channels, 5, 3, dtype=torch.float64) * 3 + 7
    torch.testing.assert_close(GroupNormByConvolution(norm).double()(x), norm(x), rtol=1e-6, atol=1e-6)


def test_group_norm_keeps_its_digits_where_the_mean_is_large() -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(2, 8)
    x = torch.randn(1, 8, 16, 16) + 3000.0
    exact = nn.GroupNorm(2, 8).double()(x.double())
    assert (GroupNormByConvolution(norm)(x).double() - exact).abs().max() < 1e-3


def test_layer_norm_is_torchs() -> None:
    torch.manual_seed(0)
    norm = random_norm(nn.LayerNorm(12)).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64) - 4
    torch.testing.assert_close(LayerNormByLinear(norm).double()(x), norm(x), rtol=1e-6, atol=1e-6)


def test_upsampling_is_exact() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 5, 3)
    torch.testing.assert_close(UpsampleByBroadcast()(x), F.interpolate(x, scale_factor=2.0), rtol=0, atol=0)


@pytest.mark.parametrize("scores", [2 * 7 * 9 * 4, 3 * 9 * 4, 1], ids=["some heads", "some queries", "one query"])
def test_attention_by_parts_is_torchs(scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few bytes its scores may take, also where the parts do not come out even."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, length, 12, dtype=torch.float64) for length in (7, 9, 9))
    monkeypatch.setattr(xnnpack, "SCORES", scores)
    heads = [x.unflatten(-1, (3, 4)).transpose(1, 2) for x in (query, key, value)]  # (B, heads, N, 4) each
    expected = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(xnnpack.attention_by_parts(query, key, value, heads=3), expected)


def test_a_stage_keeps_its_weights_and_its_result(tiny_stages: dict[str, ExportStage]) -> None:
    module = tiny_stages["decode_image"].module
    before = {name: type(child) for name, child in module.named_modules()}
    changed = rewrite(module)
    kinds = (nn.GroupNorm, nn.LayerNorm, Upsample)
    assert not any(isinstance(child, kinds) for child in changed.modules())
    assert {name: type(child) for name, child in module.named_modules()} == before
    pointers = {tensor.data_ptr() for tensor in module.parameters()}
    assert all(tensor.data_ptr() in pointers for tensor in changed.parameters())
    latents = torch.randn(1, 4, 16, 16)
    torch.testing.assert_close(changed(latents), module(latents), rtol=1e-5, atol=1e-5)
