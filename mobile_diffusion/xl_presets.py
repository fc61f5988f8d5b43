"""Named configurations of SDXL and its relatives; presets.py lists them with the others.

Sources of the block counts: arXiv 2307.01952 (SDXL); arXiv 2401.02677 and the released configurations (SSD-1B,
Segmind-Vega); arXiv 2312.04005 (KOALA).  Sources of the schedules: the model cards.
"""

from __future__ import annotations

import dataclasses

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ClipPairConfig, ClipTextConfig, ModelConfig, ScheduleConfig, UNetConfig, UNetLevel

SDXL_LICENCE = "CreativeML-OpenRAIL++-M"
SDXL_TEXT = ClipPairConfig(
    first=ClipTextConfig(),
    second=ClipTextConfig(width=1280, layers=32, heads=20, intermediate=5120, activation="gelu"),
    pooled_width=1280,
)
SDXL_AUTOENCODER = AutoencoderConfig(channels=(128, 256, 512, 512), scaling_factor=0.13025)

SDXL_UNET = UNetConfig(
    down=(UNetLevel(320, 2, 0), UNetLevel(640, 2, 2, 10, (2, 2)), UNetLevel(1280, 2, 2, 20, (10, 10))),
    mid=UNetLevel(1280, 2, 1, 20, (10,)),
    up=(UNetLevel(1280, 3, 3, 20, (10, 10, 10)), UNetLevel(640, 3, 3, 10, (2, 2, 2)), UNetLevel(320, 3, 0)),
    context_width=2048,
    linear_projection=True,
    pooled_width=1280,
    size_width=256,
)
SSD_1B_UNET = dataclasses.replace(
    SDXL_UNET,
    down=(UNetLevel(320, 2, 0), UNetLevel(640, 2, 2, 10, (2, 2)), UNetLevel(1280, 2, 2, 20, (4, 4))),
    mid=UNetLevel(1280, 1, 0),
    up=(UNetLevel(1280, 3, 3, 20, (4, 4, 10)), UNetLevel(640, 3, 3, 10, (2, 1, 1)), UNetLevel(320, 3, 0)),
)
VEGA_UNET = dataclasses.replace(
    SDXL_UNET,
    down=(UNetLevel(320, 2, 0), UNetLevel(640, 2, 2, 10), UNetLevel(1280, 2, 2, 20, (2, 2))),
    mid=UNetLevel(1280, 1, 0),
    up=(UNetLevel(1280, 3, 3, 20, (2, 2, 2)), UNetLevel(640, 3, 3, 10), UNetLevel(320, 3, 0)),
)
KOALA_1B_UNET = dataclasses.replace(
    SDXL_UNET,
    down=(UNetLevel(320, 1, 0), UNetLevel(640, 1, 1, 10, (2,)), UNetLevel(1280, 1, 1, 20, (6,))),
    mid=UNetLevel(1280, 2, 1, 20, (6,)),
    up=(UNetLevel(1280, 2, 2, 20, (6, 6)), UNetLevel(640, 2, 2, 10, (2, 2)), UNetLevel(320, 2, 0)),
)
KOALA_700M_UNET = dataclasses.replace(
    SDXL_UNET,
    down=(UNetLevel(320, 1, 0), UNetLevel(640, 1, 1, 10, (2,)), UNetLevel(1280, 1, 1, 20, (5,))),
    mid=None,
    up=(UNetLevel(1280, 2, 2, 20, (5, 5)), UNetLevel(640, 2, 2, 10, (2, 2)), UNetLevel(320, 2, 0)),
)
LCM_SDXL_UNET = dataclasses.replace(SDXL_UNET, guidance_width=256)

SDXL_SCHEDULE = ScheduleConfig(solver="euler", spacing="leading", offset=1, steps=20, guidance=5.0)
"""Default scale of diffusers' StableDiffusionXLPipeline."""
TRAILING = ScheduleConfig(solver="euler", steps=4, guidance=1.0, guidance_kind="distilled")
"""SDXL-Lightning: without guidance, each step from the last timestep of its share."""
TURBO_SCHEDULE = dataclasses.replace(TRAILING, steps=1)
"""One step from pure noise; the noise that the ancestral sampler of the model card adds there is zero."""
HYPER_SCHEDULE = dataclasses.replace(TRAILING, solver="ddim")
DMD2_SCHEDULE = dataclasses.replace(TRAILING, solver="lcm", original_steps=4)
"""The timesteps 999, 749, 499 and 249."""
LCM_SCHEDULE = ScheduleConfig(solver="lcm", steps=4, guidance=8.0, guidance_kind="distilled")

SDXL = ModelConfig(
    name="sdxl",
    licence=SDXL_LICENCE,
    height=1024,
    width=1024,
    unet=SDXL_UNET,
    autoencoder=SDXL_AUTOENCODER,
    text=SDXL_TEXT,
    schedule=SDXL_SCHEDULE,
    tokenizer="clip-bpe-pair",
)


def _relative(name: str, unet: UNetConfig = SDXL_UNET, licence: str = SDXL_LICENCE, **changes: object) -> ModelConfig:
    """A model that differs from SDXL in these settings."""
    return dataclasses.replace(SDXL, name=name, unet=unet, licence=licence, **changes)  # type: ignore[arg-type]


XL_PRESETS: dict[str, ModelConfig] = {
    model.name: model
    for model in (
        SDXL,
        _relative("ssd-1b", SSD_1B_UNET, "Apache-2.0"),
        _relative("segmind-vega", VEGA_UNET, "Apache-2.0"),
        _relative("koala-1b", KOALA_1B_UNET),
        _relative("koala-700m", KOALA_700M_UNET),
        _relative("sdxl-turbo", licence="SAI-NC", height=512, width=512, schedule=TURBO_SCHEDULE),
        _relative("sdxl-lightning", schedule=TRAILING),
        _relative("hyper-sdxl", licence="unknown", schedule=HYPER_SCHEDULE),
        _relative("dmd2-sdxl", licence="CC-BY-NC-4.0", schedule=DMD2_SCHEDULE),
        _relative("lcm-sdxl", LCM_SDXL_UNET, schedule=LCM_SCHEDULE),
    )
}
