"""Named architectures.  Block counts of Stable Diffusion 1.5 and SnapFusion: arXiv 2306.00980, table of section 3;
BK-SDM: arXiv 2305.15798, section 4.  A preset is configuration only; weights come from a checkpoint.
"""

from __future__ import annotations

import dataclasses

from mobile_diffusion.config import (
    AutoencoderConfig,
    BertConfig,
    ClipTextConfig,
    ModelConfig,
    ScheduleConfig,
    Stage,
    UNetConfig,
)
from mobile_diffusion.errors import ConfigError

SD_LICENCE = "CreativeML-OpenRAIL-M"
SD_AUTOENCODER = AutoencoderConfig(channels=(128, 256, 512, 512))
SD_SCHEDULE = ScheduleConfig()

SD15_UNET = UNetConfig(
    down=(Stage(320, 2, 2), Stage(640, 2, 2), Stage(1280, 2, 2), Stage(1280, 2, 0)),
    mid=Stage(1280, 2, 1),
    up=(Stage(1280, 3, 0), Stage(1280, 3, 3), Stage(640, 3, 3), Stage(320, 3, 3)),
    context_width=768,
)

# The paper counts the lowest level as part of the middle: its 4 ResNet blocks are 1 down, 1 mid and 2 up.
SNAPFUSION_UNET = UNetConfig(
    down=(Stage(320, 2, 0), Stage(640, 2, 2), Stage(1280, 1, 2), Stage(1280, 1, 0)),
    mid=Stage(1280, 1, 1),
    up=(Stage(1280, 2, 0), Stage(1280, 2, 6), Stage(640, 3, 3), Stage(320, 3, 0)),
    context_width=768,
)

BK_SDM_BASE_UNET = UNetConfig(
    down=(Stage(320, 1, 1), Stage(640, 1, 1), Stage(1280, 1, 1), Stage(1280, 1, 0)),
    mid=Stage(1280, 2, 1),
    up=(Stage(1280, 2, 0), Stage(1280, 2, 2), Stage(640, 2, 2), Stage(320, 2, 2)),
    context_width=768,
)
BK_SDM_SMALL_UNET = dataclasses.replace(BK_SDM_BASE_UNET, mid=None)
BK_SDM_TINY_UNET = UNetConfig(
    down=(Stage(320, 1, 1), Stage(640, 1, 1), Stage(1280, 1, 1)),
    mid=None,
    up=(Stage(1280, 2, 2), Stage(640, 2, 2), Stage(320, 2, 2)),
    context_width=768,
)

MINILM = BertConfig(vocabulary=30522, width=384, layers=6, heads=12, intermediate=1536)

EMOJI_UNET = UNetConfig(
    down=(Stage(96, 1, 0), Stage(192, 1, 1), Stage(320, 1, 1)),
    mid=Stage(320, 1, 1),
    up=(Stage(320, 2, 2), Stage(192, 2, 2), Stage(96, 2, 1)),
    context_width=384,
    in_channels=8,
    out_channels=8,
    heads=4,
    groups=16,
)
EMOJI_AUTOENCODER = AutoencoderConfig(
    channels=(16, 32, 64, 128), latent_channels=8, resnets=1, groups=8, scaling_factor=1.0
)
EMOJI_SCHEDULE = ScheduleConfig(beta_schedule="cosine", prediction="v", guidance=3.0)


def _stable_diffusion(name: str, unet: UNetConfig) -> ModelConfig:
    return ModelConfig(
        name=name,
        licence=SD_LICENCE,
        image_size=512,
        unet=unet,
        autoencoder=SD_AUTOENCODER,
        text=ClipTextConfig(),
        schedule=SD_SCHEDULE,
        tokenizer="clip-bpe",
    )


PRESETS: dict[str, ModelConfig] = {
    "sd15": _stable_diffusion("sd15", SD15_UNET),
    "snapfusion": _stable_diffusion("snapfusion", SNAPFUSION_UNET),
    "bk-sdm-base": _stable_diffusion("bk-sdm-base", BK_SDM_BASE_UNET),
    "bk-sdm-small": _stable_diffusion("bk-sdm-small", BK_SDM_SMALL_UNET),
    "bk-sdm-tiny": _stable_diffusion("bk-sdm-tiny", BK_SDM_TINY_UNET),
    "emoji": ModelConfig(
        name="emoji",
        licence="MIT",
        image_size=128,
        unet=EMOJI_UNET,
        autoencoder=EMOJI_AUTOENCODER,
        text=MINILM,
        schedule=EMOJI_SCHEDULE,
    ),
}


def preset(name: str) -> ModelConfig:
    """The named preset; raises `ConfigError` with the list of names when there is none."""
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} is unknown; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
