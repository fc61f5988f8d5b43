"""The U-Net against diffusers' `UNet2DConditionModel` on shared random weights."""

from __future__ import annotations

import diffusers
import pytest
import torch

from mobile_diffusion.blocks import attention
from mobile_diffusion.config import Stage, UNetConfig
from mobile_diffusion.unet import UNet

CROSS_DOWN, PLAIN_DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"
WIDTHS = (32, 64, 96, 96)

# Stable Diffusion 1.5 and BK-SDM base, small and tiny, each at a tenth of the width or less.
SHAPES = {
    "sd15": (2, WIDTHS, True),
    "bk-sdm-base": (1, WIDTHS, True),
    "bk-sdm-small": (1, WIDTHS, False),
    "bk-sdm-tiny": (1, WIDTHS[:3], False),
}


def narrow_config(layers: int, widths: tuple[int, ...], mid: bool) -> UNetConfig:
    """The shape of the named model: the fourth level, where there is one, has no transformers."""
    counts = [0 if level == 3 else layers for level in range(len(widths))]
    down = [Stage(width, layers, count) for width, count in zip(widths, counts, strict=True)]
    up = [Stage(stage.channels, layers + 1, layers + 1 if stage.transformers else 0) for stage in reversed(down)]
    middle = Stage(widths[-1], 2, 1) if mid else None
    return UNetConfig(down=tuple(down), mid=middle, up=tuple(up), context_width=48, heads=4, groups=16)


def diffusers_unet(layers: int, widths: tuple[int, ...], mid: bool) -> diffusers.UNet2DConditionModel:
    """diffusers' module of the same shape, with random norms and biases too."""
    plain = len(widths) == 4
    downs = [CROSS_DOWN] * 3 + [PLAIN_DOWN] * plain
    ups = [PLAIN_UP] * plain + [CROSS_UP] * 3
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=widths,
        layers_per_block=layers,
        down_block_types=downs,
        up_block_types=ups,
        mid_block_type="UNetMidBlock2DCrossAttn" if mid else None,
        cross_attention_dim=48,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    with torch.no_grad():
        for parameter in unet.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return unet.eval()


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_equal_to_diffusers(name: str) -> None:
    reference = diffusers_unet(*SHAPES[name])
    ours = UNet(narrow_config(*SHAPES[name])).eval()
    ours.load_state_dict(reference.state_dict())  # strict: every name and shape is diffusers'
    latents, context = torch.randn(2, 4, 16, 16), torch.randn(2, 7, 48)
    timesteps = torch.tensor([999, 3])
    expected = reference(latents, timesteps, context).sample
    assert expected.std() > 0.01
    torch.testing.assert_close(ours(latents, timesteps, context), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_uneven_stages_run() -> None:
    """SnapFusion's table: more transformers than ResNet blocks, one ResNet block in the middle."""
    config = UNetConfig(
        down=(Stage(32, 2, 0), Stage(32, 1, 2)),
        mid=Stage(32, 1, 1),
        up=(Stage(32, 2, 6), Stage(32, 3, 0)),
        context_width=16,
        heads=4,
        groups=16,
    )
    unet = UNet(config).eval()
    assert [len(block.attentions) for block in unet.up_blocks] == [6, 0]
    latents, timesteps, context = torch.randn(1, 4, 8, 8), torch.tensor([500]), torch.randn(1, 5, 16)
    before = unet(latents, timesteps, context)
    for transformer in [*unet.down_blocks[1].attentions, *unet.up_blocks[0].attentions]:
        kept = transformer.proj_out.bias.clone()
        transformer.proj_out.bias.add_(1.0)
        assert not torch.equal(unet(latents, timesteps, context), before), "a transformer is not executed"
        transformer.proj_out.bias.copy_(kept)


@torch.no_grad()
def test_attention_equals_torch() -> None:
    query, key, value = torch.randn(2, 9, 32), torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    heads = [x.unflatten(-1, (4, 8)).transpose(1, 2) for x in (query, key, value)]
    expected = torch.nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(query, key, value, 4), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_time_embedding_is_apart() -> None:
    unet = UNet(narrow_config(1, (32, 64), mid=True)).eval()
    latents, context = torch.randn(1, 4, 8, 8), torch.randn(1, 7, 48)
    times = unet.embed_time(torch.tensor([999, 124]))
    whole = unet(latents, torch.tensor([124]), context)
    torch.testing.assert_close(unet.predict(latents, times[1:], context), whole, rtol=0, atol=1e-5)
