"""Named configurations of known models.  A preset is only a configuration; weights come from a checkpoint.

Sources of the block counts: arXiv 2306.00980, table of section 3 (Stable Diffusion 1.5, SnapFusion); arXiv 2305.15798,
section 4 (BK-SDM); arXiv 2403.16627 and its released weights (SDXS).
"""

from __future__ import annotations

import dataclasses

from mobile_diffusion.autoencoder_config import AutoencoderConfig, TinyAutoencoderConfig
from mobile_diffusion.config import (
    BertConfig,
    ClipTextConfig,
    ModelConfig,
    ScheduleConfig,
    UNetConfig,
    UNetLevel,
)
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.xl_presets import XL_PRESETS

SD_LICENCE = "CreativeML-OpenRAIL-M"
SD2_LICENCE = "CreativeML-OpenRAIL++-M"
SD_AUTOENCODER = AutoencoderConfig(channels=(128, 256, 512, 512))
SD_SCHEDULE = ScheduleConfig()
SD_TEXT = ClipTextConfig()
SD2_TEXT = ClipTextConfig(width=1024, layers=23, heads=16, intermediate=4096, activation="gelu")
"""The text encoder of OpenCLIP's ViT-H without its last layer."""
TAESD = TinyAutoencoderConfig()

SD15_UNET = UNetConfig(
    down=(UNetLevel(320, 2, 2), UNetLevel(640, 2, 2), UNetLevel(1280, 2, 2), UNetLevel(1280, 2, 0)),
    mid=UNetLevel(1280, 2, 1),
    up=(UNetLevel(1280, 3, 0), UNetLevel(1280, 3, 3), UNetLevel(640, 3, 3), UNetLevel(320, 3, 3)),
    context_width=768,
)

SD21_UNET = UNetConfig(
    down=(
        UNetLevel(320, 2, 2, heads=5),
        UNetLevel(640, 2, 2, heads=10),
        UNetLevel(1280, 2, 2, heads=20),
        UNetLevel(1280, 2, 0),
    ),
    mid=UNetLevel(1280, 2, 1, heads=20),
    up=(
        UNetLevel(1280, 3, 0),
        UNetLevel(1280, 3, 3, heads=20),
        UNetLevel(640, 3, 3, heads=10),
        UNetLevel(320, 3, 3, heads=5),
    ),
    context_width=1024,
    linear_projection=True,
)

LCM_SD15_UNET = dataclasses.replace(SD15_UNET, guidance_width=256)
LCM_SCHEDULE = ScheduleConfig(solver="lcm", steps=4, guidance=8.5, guidance_kind="distilled")

# The paper counts the lowest level as part of the middle; its 4 ResNet blocks there are 1 down, 1 mid and 2 up here.
SNAPFUSION_UNET = UNetConfig(
    down=(UNetLevel(320, 2, 0), UNetLevel(640, 2, 2), UNetLevel(1280, 1, 2), UNetLevel(1280, 1, 0)),
    mid=UNetLevel(1280, 1, 1),
    up=(UNetLevel(1280, 2, 0), UNetLevel(1280, 2, 6), UNetLevel(640, 3, 3), UNetLevel(320, 3, 0)),
    context_width=768,
)

BK_SDM_BASE_UNET = UNetConfig(
    down=(UNetLevel(320, 1, 1), UNetLevel(640, 1, 1), UNetLevel(1280, 1, 1), UNetLevel(1280, 1, 0)),
    mid=UNetLevel(1280, 2, 1),
    up=(UNetLevel(1280, 2, 0), UNetLevel(1280, 2, 2), UNetLevel(640, 2, 2), UNetLevel(320, 2, 2)),
    context_width=768,
)
BK_SDM_SMALL_UNET = dataclasses.replace(BK_SDM_BASE_UNET, mid=None)
BK_SDM_TINY_UNET = UNetConfig(
    down=(UNetLevel(320, 1, 1), UNetLevel(640, 1, 1), UNetLevel(1280, 1, 1)),
    mid=None,
    up=(UNetLevel(1280, 2, 2), UNetLevel(640, 2, 2), UNetLevel(320, 2, 2)),
    context_width=768,
)

# No transformer at full resolution; one step from pure noise, without guidance.
SDXS_512_UNET = UNetConfig(
    down=(UNetLevel(320, 1, 0), UNetLevel(640, 1, 1), UNetLevel(1280, 1, 1)),
    mid=None,
    up=(UNetLevel(1280, 2, 2), UNetLevel(640, 2, 2), UNetLevel(320, 2, 0)),
    context_width=768,
)
SDXS_SCHEDULE = ScheduleConfig(steps=1, guidance=1.0, guidance_kind="distilled", final="first")

MINILM = BertConfig(vocabulary=30522, width=384, layers=6, heads=12, intermediate=1536)

EMOJI_UNET = UNetConfig(
    down=(UNetLevel(96, 1, 0), UNetLevel(192, 1, 1), UNetLevel(320, 1, 1)),
    mid=UNetLevel(320, 1, 1),
    up=(UNetLevel(320, 2, 2), UNetLevel(192, 2, 2), UNetLevel(96, 2, 1)),
    context_width=384,
    in_channels=8,
    out_channels=8,
    heads=4,
    groups=16,
)
EMOJI_WIDE_UNET = dataclasses.replace(
    EMOJI_UNET,
    down=(UNetLevel(96, 2, 0), UNetLevel(192, 2, 2), UNetLevel(320, 2, 2)),
    mid=UNetLevel(320, 2, 2),
    up=(UNetLevel(320, 3, 3), UNetLevel(192, 3, 3), UNetLevel(96, 3, 2)),
)
"""The larger network at which architecture evolution starts."""
EMOJI_AUTOENCODER = AutoencoderConfig(
    channels=(16, 32, 64, 128), latent_channels=8, resnets=1, groups=8, scaling_factor=1.0
)
EMOJI_SCHEDULE = ScheduleConfig(beta_schedule="cosine", prediction="v", guidance=3.0)


SD15 = ModelConfig(
    name="sd15",
    licence=SD_LICENCE,
    height=512,
    width=512,
    unet=SD15_UNET,
    autoencoder=SD_AUTOENCODER,
    text=SD_TEXT,
    schedule=SD_SCHEDULE,
    tokenizer="clip-bpe",
)
SD21_BASE = dataclasses.replace(SD15, name="sd21-base", licence=SD2_LICENCE, unet=SD21_UNET, text=SD2_TEXT)
SD21_V = dataclasses.replace(
    SD21_BASE, name="sd21-v", height=768, width=768, schedule=dataclasses.replace(SD_SCHEDULE, prediction="v")
)


def _relative(name: str, unet: UNetConfig, schedule: ScheduleConfig = SD_SCHEDULE) -> ModelConfig:
    """A model that differs from Stable Diffusion 1.5 only in its U-Net and schedule."""
    return dataclasses.replace(SD15, name=name, unet=unet, schedule=schedule)


PRESETS: dict[str, ModelConfig] = {
    "sd15": SD15,
    "sd21-base": SD21_BASE,
    "sd21-v": SD21_V,
    "snapfusion": _relative("snapfusion", SNAPFUSION_UNET),
    "bk-sdm-base": _relative("bk-sdm-base", BK_SDM_BASE_UNET),
    "bk-sdm-small": _relative("bk-sdm-small", BK_SDM_SMALL_UNET),
    "bk-sdm-tiny": _relative("bk-sdm-tiny", BK_SDM_TINY_UNET),
    "small-sd": _relative("small-sd", BK_SDM_BASE_UNET),
    "tiny-sd": _relative("tiny-sd", BK_SDM_TINY_UNET),
    "lcm-sd15": dataclasses.replace(_relative("lcm-sd15", LCM_SD15_UNET, LCM_SCHEDULE), licence="MIT"),
    "sdxs-512": dataclasses.replace(
        _relative("sdxs-512", SDXS_512_UNET, SDXS_SCHEDULE), licence=SD2_LICENCE, autoencoder=TAESD
    ),
    "emoji": ModelConfig(
        name="emoji",
        licence="MIT",
        height=128,
        width=128,
        unet=EMOJI_UNET,
        autoencoder=EMOJI_AUTOENCODER,
        text=MINILM,
        schedule=EMOJI_SCHEDULE,
    ),
}
PRESETS |= XL_PRESETS
PRESETS["emoji-wide"] = dataclasses.replace(PRESETS["emoji"], name="emoji-wide", unet=EMOJI_WIDE_UNET)


def preset(name: str) -> ModelConfig:
    """Return the named preset; raise ConfigError with the list of names when there is none of that name."""
    if name not in PRESETS:
        raise ConfigError(f"preset {quoted(name)} is unknown; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
