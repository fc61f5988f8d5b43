"""Attention by parts and on positions against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from export.rewrites import attention_in_parts as parts
from export.rewrites.xnnpack import attention, rewrite
from export.rewrites.xnnpack.positions import TransformerInPlace
from mobile_diffusion.autoencoder import PixelAttention
from mobile_diffusion.config import UNetConfig, UNetLevel
from mobile_diffusion.transformer import Attention, FeedForward, SpatialTransformer

STAGE = UNetLevel(16, 1, 1)


@pytest.mark.parametrize("scores", [2 * 7 * 9 * 4, 3 * 9 * 4, 1], ids=["some heads", "some queries", "one query"])
def test_attention_by_parts_is_torchs(scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few bytes its scores may take, also where the parts do not come out even."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, length, 12, dtype=torch.float64) for length in (7, 9, 9))
    monkeypatch.setattr(parts, "SCORES", scores)
    heads = [x.unflatten(-1, (3, 4)).transpose(1, 2) for x in (query, key, value)]  # (B, heads, N, 4) each
    expected = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention.mixed(query, key, value, heads=3), expected)


def test_one_map_may_ask_two_contexts() -> None:
    torch.manual_seed(0)
    layer = Attention(12, 8, heads=3).double()
    x, context = torch.randn(1, 7, 12, dtype=torch.float64), torch.randn(2, 5, 8, dtype=torch.float64)
    changed = rewrite(layer).double()
    torch.testing.assert_close(changed(x, context), layer(torch.cat([x, x]), context))


@pytest.mark.parametrize("linear", [False, True])
def test_a_transformer_in_place_is_the_transformer(linear: bool) -> None:
    torch.manual_seed(0)
    config = UNetConfig((STAGE,), None, (UNetLevel(16, 2, 0),), 8, heads=2, groups=4, linear_projection=linear)
    layer = SpatialTransformer(config, STAGE, 1).double()
    x, context = torch.randn(2, 16, 3, 5, dtype=torch.float64), torch.randn(2, 7, 8, dtype=torch.float64)
    changed = rewrite(layer).double()
    assert type(changed) is TransformerInPlace
    torch.testing.assert_close(changed(x, context), layer(x, context), rtol=1e-6, atol=1e-6)


def test_pixel_attention_in_place_is_the_attention() -> None:
    torch.manual_seed(0)
    layer, x = PixelAttention(16, 4).double(), torch.randn(2, 16, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(rewrite(layer).double()(x), layer(x), rtol=1e-6, atol=1e-6)


def test_a_gate_of_two_layers_is_the_gate_and_holds_its_weights() -> None:
    torch.manual_seed(0)
    layer: nn.Module = FeedForward(12).double()
    changed = rewrite(layer, ["gate by two layers"])
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(changed(x), layer(x))
    storages = {tensor.untyped_storage().data_ptr() for tensor in layer.parameters()}
    assert {tensor.untyped_storage().data_ptr() for tensor in changed.parameters()} <= storages
