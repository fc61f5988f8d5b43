"""The U-Net against diffusers' `UNet2DConditionModel` on shared random weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import diffusers
import pytest
import torch
from diffusers import LatentConsistencyModelPipeline
from diffusers.models.attention_processor import Attention as DiffusersAttention
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from mobile_diffusion.blocks import attention
from mobile_diffusion.config import UNetConfig, UNetLevel
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.time_embedding import guidance_waves
from mobile_diffusion.transformer import Attention
from mobile_diffusion.unet import UNet

TOLERANCE = 1e-5
"""Of the largest error, relative to the largest value."""


@dataclass(frozen=True)
class Shape:
    """An architecture of the Stable Diffusion family as diffusers states it, at a tenth of the width or less."""

    layers: tuple[int, ...]
    transformers: tuple[bool, ...]
    mid: bool
    heads: tuple[int, ...] = (4, 4, 4, 4)
    linear: bool = False
    guidance_width: int = 0

    @property
    def widths(self) -> tuple[int, ...]:
        return (32, 64, 96, 96)[: len(self.layers)]


FULL = (True, True, True, False)
SHAPES = {
    "sd15": Shape((2, 2, 2, 2), FULL, mid=True),
    "sd21": Shape((2, 2, 2, 2), FULL, mid=True, heads=(2, 4, 6, 6), linear=True),
    "bk-sdm-base and small-sd": Shape((1, 1, 1, 1), FULL, mid=True),
    "bk-sdm-small": Shape((1, 1, 1, 1), FULL, mid=False),
    "bk-sdm-tiny and tiny-sd": Shape((1, 1, 1), (True, True, True), mid=False),
    "lcm": Shape((2, 2, 2, 2), FULL, mid=True, guidance_width=16),
    "sdxs-512": Shape((1, 1, 1), (False, True, True), mid=False),
    "uneven layers": Shape((2, 2, 1, 1), FULL, mid=True),
}


def our_config(shape: Shape) -> UNetConfig:
    """The levels of a shape; the way up mirrors the way down with a ResNet block more."""
    rows = list(zip(shape.widths, shape.layers, shape.transformers, shape.heads[: len(shape.layers)], strict=True))
    last_heads = rows[-1][3]
    return UNetConfig(
        down=tuple(UNetLevel(width, layers, layers * has, heads) for width, layers, has, heads in rows),
        mid=UNetLevel(rows[-1][0], 2, 1, last_heads) if shape.mid else None,
        up=tuple(
            UNetLevel(width, layers + 1, (layers + 1) * has, heads) for width, layers, has, heads in reversed(rows)
        ),
        context_width=48,
        groups=16,
        linear_projection=shape.linear,
        guidance_width=shape.guidance_width,
    )


def diffusers_unet(shape: Shape) -> diffusers.UNet2DConditionModel:
    """diffusers' module of the same shape, with random norms and biases too."""
    kinds = ["CrossAttn" if has else "" for has in shape.transformers]
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=shape.widths,
        layers_per_block=shape.layers,
        down_block_types=[f"{kind}DownBlock2D" for kind in kinds],
        up_block_types=[f"{kind}UpBlock2D" for kind in reversed(kinds)],
        mid_block_type="UNetMidBlock2DCrossAttn" if shape.mid else None,
        cross_attention_dim=48,
        attention_head_dim=shape.heads[: len(shape.layers)],
        norm_num_groups=16,
        use_linear_projection=shape.linear,
        time_cond_proj_dim=shape.guidance_width or None,
    )
    with torch.no_grad():
        for parameter in unet.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return unet.eval()


def diffusers_guidance_waves(guidance: Tensor, width: int) -> Tensor:
    """What diffusers' latent consistency pipeline passes to the network for a guidance scale."""
    return LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, guidance - 1, width)


@pytest.mark.parametrize("height, width", [(16, 16), (16, 24)])
@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_equal_to_diffusers(name: str, height: int, width: int) -> None:
    shape = SHAPES[name]
    reference = diffusers_unet(shape)
    ours = UNet(our_config(shape)).eval()
    ours.load_state_dict(reference.state_dict())  # strict: every name and shape is diffusers'
    latents, context = torch.randn(2, 4, height, width), torch.randn(2, 7, 48)
    timesteps = torch.tensor([999.0, 3.25])  # the Euler solver's may lie between
    guidance = torch.tensor([8.5, 1.0]) if shape.guidance_width else None
    condition = None if guidance is None else diffusers_guidance_waves(guidance, shape.guidance_width)
    expected = reference(latents, timesteps, context, timestep_cond=condition).sample
    assert expected.std() > 0.01
    error = (ours(latents, timesteps, context, guidance) - expected).abs().max() / expected.abs().max()
    assert error <= TOLERANCE


@pytest.mark.parametrize("width", [2 * 8, 256])
def test_guidance_waves_equal_diffusers(width: int) -> None:
    guidance = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.5, 7.5, 8.5, 14.0])
    torch.testing.assert_close(guidance_waves(guidance, width), diffusers_guidance_waves(guidance, width))


@torch.no_grad()
def test_guidance_changes_the_prediction() -> None:
    unet = UNet(our_config(SHAPES["lcm"])).eval()
    inputs = torch.randn(1, 4, 8, 8), torch.tensor([500.0]), torch.randn(1, 7, 48)
    assert not torch.equal(unet(*inputs, torch.tensor([2.0])), unet(*inputs, torch.tensor([8.0])))


@pytest.mark.parametrize("name, guidance", [("lcm", None), ("sd15", torch.tensor([7.5]))])
def test_guidance_is_given_where_it_is_embedded_only(name: str, guidance: Tensor | None) -> None:
    unet = UNet(our_config(SHAPES[name]))
    with pytest.raises(ConfigError, match="guidance scale, as guidance_width is") as caught:
        unet.embed_time(torch.tensor([500]), guidance)
    assert "\n" not in str(caught.value)


@torch.no_grad()
def test_the_whole_text_is_added_to_the_time() -> None:
    torch.manual_seed(0)
    config = our_config(SHAPES["bk-sdm-small"])
    unet, plain = UNet(dataclasses.replace(config, pooled_context=True)).eval(), UNet(config).eval()
    plain.load_state_dict({k: v for k, v in unet.state_dict().items() if not k.startswith("context_embedding")})
    embedding = unet.context_embedding
    assert embedding is not None
    latents, times = torch.randn(2, 4, 8, 8), torch.tensor([500.0, 20.0])
    context = torch.cat([torch.randn(2, 3, 48), torch.zeros(2, 4, 48)], dim=1)  # three words and padding
    direction = torch.nn.functional.normalize(context[:, :3].mean(1), dim=-1) * 48**0.5  # as sentence embeddings are
    first = torch.nn.functional.linear(direction, embedding.linear_1.weight, embedding.linear_1.bias)
    text = torch.nn.functional.silu(first) @ embedding.linear_2.weight.T + embedding.linear_2.bias
    expected = plain.predict(latents, plain.embed_time(times) + text, context)
    torch.testing.assert_close(unet(latents, times, context), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain(latents, times, context), expected, atol=1e-3)


def test_a_text_is_pooled_once() -> None:
    with pytest.raises(ConfigError, match="pooled_context"):
        dataclasses.replace(our_config(SHAPES["sd15"]), pooled_context=True, pooled_width=8, size_width=2)


@torch.no_grad()
def test_uneven_levels_run() -> None:
    """SnapFusion's table: more transformers than ResNet blocks, one ResNet block in the middle."""
    config = UNetConfig(
        down=(UNetLevel(32, 2, 0), UNetLevel(32, 1, 2)),
        mid=UNetLevel(32, 1, 1),
        up=(UNetLevel(32, 2, 6), UNetLevel(32, 3, 0)),
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


@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_exported_attention_is_explicit_and_equal(masked: bool) -> None:
    """PyTorch runs its fused kernel; the exported graph holds matmul, softmax, matmul."""
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 9, 32), torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    mask = torch.randn(2, 1, 1, 5) if masked else None

    class Attend(torch.nn.Module):
        def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return attention(query, key, value, 4, mask)

    program = torch.export.export(Attend(), (query, key, value))
    operations = {str(node.target) for node in program.graph.nodes}
    assert {"aten.matmul.default", "aten.softmax.int"} <= operations
    assert not any("scaled_dot_product" in operation for operation in operations)
    expected = Attend()(query, key, value)
    torch.testing.assert_close(program.module()(query, key, value), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_time_embedding_is_apart() -> None:
    unet = UNet(our_config(SHAPES["bk-sdm-tiny and tiny-sd"])).eval()
    latents, context = torch.randn(1, 4, 8, 8), torch.randn(1, 7, 48)
    times = unet.embed_time(torch.tensor([999, 124]))
    whole = unet(latents, torch.tensor([124]), context)
    torch.testing.assert_close(unet.predict(latents, times[1:], context), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_upcast_attention_is_that_of_diffusers(dtype: torch.dtype) -> None:
    """Scores beyond float16, in a network of half precision; Stable Diffusion 2.1's configuration asks for it."""
    torch.manual_seed(4)
    theirs = DiffusersAttention(32, heads=4, dim_head=8, upcast_attention=True, processor=AttnProcessor())
    for layer in (theirs.to_q, theirs.to_k):
        layer.weight.data.mul_(300)
    ours = Attention(32, 32, heads=4, upcast=True)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 16, 32)
    with torch.inference_mode():
        scores = theirs.head_to_batch_dim(theirs.to_q(x)) @ theirs.head_to_batch_dim(theirs.to_k(x)).mT * theirs.scale
        assert scores.abs().max() > 65504
        exact = ours(x, x)
        theirs, ours, x = theirs.to(dtype), ours.to(dtype), x.to(dtype)
        wanted, got = theirs(x), ours(x, x)
        naive = DiffusersAttention(32, heads=4, dim_head=8, processor=AttnProcessor()).to(dtype)
        naive.load_state_dict(theirs.state_dict())
        assert naive(x).isfinite().all() == (dtype == torch.bfloat16)
    assert got.dtype == dtype
    roundoff = torch.finfo(dtype).eps
    torch.testing.assert_close(got, wanted, rtol=4 * roundoff, atol=4 * roundoff * float(exact.abs().max()))


def test_every_attention_of_a_network_is_upcast() -> None:
    config = UNetConfig((UNetLevel(32, 1, 1),), UNetLevel(32, 1, 1), (UNetLevel(32, 2, 2),), 8, upcast_attention=True)
    found = [module.upcast for module in UNet(config).modules() if isinstance(module, Attention)]
    assert found == [True] * 8
