"""Presets: names, shapes and parameter counts equal to those of diffusers' and transformers' modules."""

from __future__ import annotations

import functools
from typing import Any

import diffusers
import pytest
import torch
import transformers
from torch import nn

from benchmarks.checkpoints.random_weights import KOALA_1B, KOALA_700M, SSD_1B, VEGA, XL
from mobile_diffusion.autoencoder import build_autoencoder
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import PRESETS, TAESD, preset
from mobile_diffusion.text_encoder import build_text_encoder
from mobile_diffusion.time_embedding import guidance_waves
from mobile_diffusion.unet import UNet

# The options in which each released unet/config.json differs from Stable Diffusion 1.5's.
BK_SDM_BASE: dict[str, Any] = {"layers_per_block": 1}
BK_SDM_TINY: dict[str, Any] = {
    "layers_per_block": 1,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3,
    "up_block_types": ("CrossAttnUpBlock2D",) * 3,
    "mid_block_type": None,
}
SD21: dict[str, Any] = {
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
UNET_OPTIONS: dict[str, dict[str, Any]] = {
    "sd15": {},
    "sd21-base": SD21,
    "sd21-v": SD21,
    "bk-sdm-base": BK_SDM_BASE,
    "bk-sdm-small": BK_SDM_BASE | {"mid_block_type": None},
    "bk-sdm-tiny": BK_SDM_TINY,
    "small-sd": BK_SDM_BASE,
    "tiny-sd": BK_SDM_TINY,
    "lcm-sd15": {"time_cond_proj_dim": 256},
    "sdxs-512": BK_SDM_TINY
    | {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    },
    "sdxl": XL,
    "ssd-1b": SSD_1B,
    "segmind-vega": VEGA,
    "koala-1b": KOALA_1B,
    "koala-700m": KOALA_700M,
    "lcm-sdxl": XL | {"time_cond_proj_dim": 256},
}

# Stable Diffusion 1.5 and 2.1: published; BK-SDM: published as 579.4, 482.3 and 323.4 M; SDXL: published as 2.6 B,
# KOALA as 1,161 and 782 M; SnapFusion: our count of its table (the paper prints 848 M, which its table does not give).
COUNTS = {
    "sd15": 859_520_964,
    "sd21-base": 865_910_724,
    "sd21-v": 865_910_724,
    "snapfusion": 759_327_364,
    "bk-sdm-base": 579_384_964,
    "bk-sdm-small": 482_346_884,
    "bk-sdm-tiny": 323_384_964,
    "small-sd": 579_384_964,
    "tiny-sd": 323_384_964,
    "lcm-sd15": 859_602_884,
    "sdxs-512": 315_746_244,
    "sdxl": 2_567_463_684,
    "ssd-1b": 1_331_334_404,
    "segmind-vega": 745_225_604,
    "koala-1b": 1_161_184_324,
    "koala-700m": 782_822_724,
    "lcm-sdxl": 2_567_545_604,
}
KL_COUNT, TINY_COUNT = 83_653_863, 2_445_063
CLIP_L_COUNT, CLIP_H_COUNT, CLIP_G_COUNT = 123_060_480, 340_387_840, 694_659_840


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}


@functools.cache
def our_unet(name: str) -> UNet:
    with torch.device("meta"):
        return UNet(preset(name).unet)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count(name: str) -> None:
    assert count(our_unet(name)) == COUNTS[name]


@pytest.mark.parametrize("name", UNET_OPTIONS)
def test_unet_has_the_tensors_of_diffusers(name: str) -> None:
    with torch.device("meta"):
        reference = diffusers.UNet2DConditionModel(**{"cross_attention_dim": 768, **UNET_OPTIONS[name]})
    assert shapes(our_unet(name)) == shapes(reference)
    assert count(our_unet(name)) == count(reference)


@pytest.mark.parametrize("name", UNET_OPTIONS)
def test_attention_heads_are_those_of_diffusers(name: str) -> None:
    """Heads leave no trace in the names and shapes, so they are compared apart."""
    with torch.device("meta"):
        reference = diffusers.UNet2DConditionModel(**{"cross_attention_dim": 768, **UNET_OPTIONS[name]})
    theirs = {path: module.heads for path, module in reference.named_modules() if hasattr(module, "to_q")}
    ours = {path: module.heads for path, module in our_unet(name).named_modules() if hasattr(module, "to_q")}
    assert ours == theirs


@pytest.mark.full
@pytest.mark.parametrize("name", ["sd15", "sd21-base", "lcm-sd15", "bk-sdm-base", "bk-sdm-tiny", "sdxs-512"])
@torch.no_grad()
def test_real_width_computes_what_diffusers_computes(name: str) -> None:
    """At 256 x 128 pixels, on the same weights, which both networks share."""
    unet = preset(name).unet
    with torch.device("meta"):
        reference = diffusers.UNet2DConditionModel(**{"cross_attention_dim": 768, **UNET_OPTIONS[name]}).eval()
        ours = UNet(unet).eval()
    generator = torch.Generator().manual_seed(0)
    reference.to_empty(device="cpu")
    for weight in reference.parameters():
        centre = 1.0 if weight.ndim == 1 else 0.0
        weight.normal_(centre, 0.02, generator=generator)
    ours.load_state_dict(reference.state_dict(), assign=True)
    latents = torch.randn(1, 4, 32, 16, generator=generator)
    context = torch.randn(1, 77, unet.context_width, generator=generator)
    guidance = torch.tensor([7.5]) if unet.guidance_width else None
    condition = guidance_waves(guidance, unet.guidance_width) if guidance is not None else None
    expected = reference(latents, torch.tensor([601.0]), context, timestep_cond=condition).sample
    error = (ours(latents, torch.tensor([601.0]), context, guidance) - expected).abs().max() / expected.abs().max()
    assert expected.std() > 0.01
    assert error <= 1e-5


def test_autoencoders_have_the_tensors_of_diffusers() -> None:
    with torch.device("meta"):
        full = diffusers.AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
        tiny = diffusers.AutoencoderTiny()
        ours = build_autoencoder(preset("sd15").autoencoder), build_autoencoder(TAESD)
    assert [shapes(module) for module in ours] == [shapes(full), shapes(tiny)]
    assert [count(module) for module in ours] == [KL_COUNT, TINY_COUNT]


@pytest.mark.parametrize("name, total", [("sd15", CLIP_L_COUNT), ("sd21-base", CLIP_H_COUNT)])
def test_text_encoder_has_the_parameters_of_transformers(name: str, total: int) -> None:
    text = preset(name).text
    assert text.kind == "clip"
    config = transformers.CLIPTextConfig(
        vocab_size=text.vocabulary,
        hidden_size=text.width,
        num_hidden_layers=text.layers,
        num_attention_heads=text.heads,
        intermediate_size=text.intermediate,
        hidden_act=text.activation,
    )
    with torch.device("meta"):
        reference, ours = transformers.CLIPTextModel(config), build_text_encoder(text)
    assert sorted(value.shape for value in ours.parameters()) == sorted(value.shape for value in reference.parameters())
    assert count(ours) == count(reference) == total


def test_text_encoders_of_sdxl_have_the_parameters_of_transformers() -> None:
    text = preset("sdxl").text
    assert text.kind == "clip-pair"
    config = transformers.CLIPTextConfig(
        hidden_size=1280,
        num_hidden_layers=32,
        num_attention_heads=20,
        intermediate_size=5120,
        hidden_act="gelu",
        projection_dim=1280,
        vocab_size=49408,
    )
    with torch.device("meta"):
        reference, ours = transformers.CLIPTextModelWithProjection(config), build_text_encoder(text)
    second = ours.get_submodule("text_encoder_2")
    assert shapes(second) == shapes(reference)
    assert count(second) == count(reference) == CLIP_G_COUNT
    assert count(ours) == CLIP_L_COUNT + CLIP_G_COUNT


def test_presets_state_how_their_model_is_sampled() -> None:
    assert (preset("sd21-v").height, preset("sd21-v").schedule.prediction) == (768, "v")
    assert preset("lcm-sd15").schedule.guidance_kind == preset("sdxs-512").schedule.guidance_kind == "distilled"
    assert preset("sdxs-512").schedule.steps == 1
    assert preset("sdxs-512").autoencoder == TAESD


def test_unknown_preset_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="sd15, sd21-base") as caught:
        preset("sd3")
    assert "\n" not in str(caught.value)
    assert set(COUNTS) < set(PRESETS)
