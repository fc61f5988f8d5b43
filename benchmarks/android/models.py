"""The models whose speed is measured: the emoji model, a medium U-Net at 32x32 latents, SnapFusion's at 64x64.

The medium one has 17.2 million parameters and 2.1 billion multiply-accumulates per evaluation, and one evaluation
per step.  Only the emoji model's weights are trained; times do not depend on that.
"""

from __future__ import annotations

import dataclasses

from benchmarks.measuring.random_model import RandomModel
from benchmarks.paths import EMOJI
from export.stages import ExportStage, build_stage
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.config import ModelConfig, UNetConfig, UNetLevel
from mobile_diffusion.presets import preset

MEDIUM_UNET = UNetConfig(
    down=(UNetLevel(64, 1, 0), UNetLevel(128, 1, 1), UNetLevel(256, 1, 1)),
    mid=UNetLevel(256, 2, 1),
    up=(UNetLevel(256, 2, 2), UNetLevel(128, 2, 2), UNetLevel(64, 2, 0)),
    context_width=384,
    heads=4,
    groups=16,
)


def _medium() -> ModelConfig:
    """One evaluation per step, at 32x32 latents."""
    emoji = preset("emoji")
    return dataclasses.replace(
        emoji,
        name="medium",
        height=256,
        width=256,
        unet=MEDIUM_UNET,
        autoencoder=dataclasses.replace(emoji.autoencoder, latent_channels=4),
        schedule=dataclasses.replace(emoji.schedule, guidance_kind="distilled"),
    )


MODELS: dict[str, ModelConfig] = {"emoji": preset("emoji"), "medium": _medium(), "snapfusion": preset("snapfusion")}


def load_stage(model: str, stage: str) -> ExportStage:
    """A stage of one of MODELS."""
    return build_stage(open_checkpoint(EMOJI) if model == "emoji" else RandomModel(MODELS[model], seed=0), stage)
