"""The inspection of one checkpoint: what its files contain, what its stages cost, which phones it fits on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mobile_diffusion.checkpoint import Checkpoint
from mobile_diffusion.config import ClipPairConfig, ModelConfig, ScheduleConfig, UNetConfig
from mobile_diffusion.inspection.phones import PHONES, Verdict, judge
from mobile_diffusion.inspection.stage_cost import StageCost, stage_costs
from mobile_diffusion.presets import PRESETS
from mobile_diffusion.tensor_layout import FLOATS, Layout


@dataclass(frozen=True)
class Component:
    """One network of a checkpoint, as it is stored on disk."""

    name: str
    architecture: str
    """A description for people."""
    parameters: int
    dtypes: tuple[str, ...]
    """Types of its tensors, in the spelling of safetensors headers."""
    bytes_on_disk: int


@dataclass(frozen=True)
class Inspection:
    """The result of `mobile-diffusion inspect`."""

    name: str
    path: str
    format: str
    """"mobile-diffusion", "diffusers" or "single-file"."""
    licence: str
    preset: str | None
    """The preset with the same U-Net, if any."""
    height: int
    width: int
    changes: tuple[str, ...]
    """Descriptions of what options changed in the checkpoint."""
    components: tuple[Component, ...]
    stages: tuple[StageCost, ...]
    schedule: ScheduleConfig
    guidance_embedded: bool
    """Whether the U-Net embeds the guidance scale."""
    tokenizer: str
    max_tokens: int
    verdicts: tuple[Verdict, ...]
    float32: tuple[str, ...]
    """What the configuration asks to keep in float32 when an export is float16."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one picture."""
        return sum(stage.runs * stage.macs for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """All fields and `macs` as nested plain values."""
        return dataclasses.asdict(self) | {"macs": self.macs}


def inspect_checkpoint(checkpoint: Checkpoint) -> Inspection:
    """Inspect an opened checkpoint without reading its weights."""
    config, layouts = checkpoint.config, checkpoint.source.layouts
    stages = stage_costs(config)
    descriptions = {
        "text_encoder": _describe_text(config),
        "unet": _describe_unet(config.unet),
        "autoencoder": _describe_autoencoder(config),
    }
    return Inspection(
        name=config.name,
        path=str(checkpoint.path),
        format=checkpoint.source.kind,
        licence=config.licence,
        preset=find_preset(config.unet),
        height=config.height,
        width=config.width,
        changes=checkpoint.changes,
        components=tuple(_component(part, words, layouts[part]) for part, words in descriptions.items()),
        stages=stages,
        schedule=config.schedule,
        guidance_embedded=config.unet.guidance_width > 0,
        tokenizer=config.tokenizer,
        max_tokens=config.text.max_tokens,
        verdicts=tuple(judge(stages, phone) for phone in PHONES),
        float32=tuple(_asked(config)),
    )


def _asked(config: ModelConfig) -> Iterator[str]:
    if config.unet.upcast_attention:
        yield "attention of the U-Net (upcast_attention)"
    if getattr(config.autoencoder, "force_upcast", False):
        yield "what needs it in the VAE, measured at the export (force_upcast)"


def find_preset(unet: UNetConfig) -> str | None:
    """The first preset with an equivalent U-Net; None when there is none."""
    return next((name for name, config in PRESETS.items() if _traits(config.unet) == _traits(unet)), None)


def _traits(unet: UNetConfig) -> tuple[object, ...]:
    """The properties that make two U-Nets equivalent; heads count only in levels with transformers."""
    levels = [
        (
            *(level.channels, level.resnets, level.transformers, level.depths),
            unet.heads_of(level) if level.transformers else 0,
        )
        for level in (*unet.down, *([unet.mid] if unet.mid else []), *unet.up)
    ]
    shared = (unet.context_width, unet.in_channels, unet.out_channels, unet.groups)
    added = (unet.guidance_width, unet.pooled_width, unet.size_width, unet.pooled_context)
    return (*levels, *shared, unet.linear_projection, *added)


def _component(name: str, words: str, layout: Layout) -> Component:
    counts = {tensor: math.prod(stored.shape) for tensor, stored in layout.items()}
    sizes = [counts[tensor] * FLOATS[stored.dtype].itemsize for tensor, stored in layout.items()]
    dtypes = tuple(sorted({stored.dtype for stored in layout.values()}))
    return Component(name, words, sum(counts.values()), dtypes, sum(sizes))


def _describe_text(config: ModelConfig) -> str:
    text = config.text
    each = (text.first, text.second) if isinstance(text, ClipPairConfig) else (text,)
    layers = " and ".join(f"{encoder.layers} layers of {encoder.width}" for encoder in each)
    return f"{text.kind.upper()}, {layers}, {text.max_tokens} tokens"


def _describe_unet(unet: UNetConfig) -> str:
    stages = [*unet.down, *([unet.mid] if unet.mid else []), *unet.up]
    widths = "/".join(str(stage.channels) for stage in unet.down)
    resnets, transformers = (sum(getattr(stage, kind) for stage in stages) for kind in ("resnets", "transformers"))
    middle = "" if unet.mid else ", no middle"
    blocks = sum(stage.blocks - stage.resnets for stage in stages)
    inside = f" of {blocks} blocks" if blocks > transformers else ""
    return f"{widths} channels, {resnets} ResNet blocks, {transformers} transformers{inside}{middle}"


def _describe_autoencoder(config: ModelConfig) -> str:
    autoencoder = config.autoencoder
    _, channels, height, width = config.latent_shape
    return f"{autoencoder.kind}, 1/{autoencoder.factor} of the side, latents {channels}x{height}x{width}"
