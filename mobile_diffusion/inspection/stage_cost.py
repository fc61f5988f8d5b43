"""The stages of a model as phones run them: their work, their memory, and the size of their weights.

Everything follows from the configuration: the networks are built on the meta device and run there at the
checkpoint's size, with both evaluations of a guided step in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.formats.checkpoint_files import builders
from mobile_diffusion.inspection.cost import measure
from mobile_diffusion.schedule import step_table
from mobile_diffusion.unet import UNet

PRECISIONS = {"fp32": 32, "fp16": 16, "int8": 8, "6-bit": 6, "4-bit": 4}
"""Bits of a weight, by the name of a precision."""


@dataclass(frozen=True)
class StageCost:
    """One stage of a model at the model's size."""

    name: str
    """encode_text, denoise, decode_image, or encode_image, which only redrawing a picture needs."""
    runs: int
    """How often it runs for one picture."""
    parameters: int
    macs: int
    """Multiply-accumulates of one run; a guided `denoise` evaluates its network twice."""
    activation_bytes: int
    """Peak of one run in float32."""
    peak: str
    """The operation at the peak, with the shape of its result."""
    weight_bytes: dict[str, int]
    """Size of the weights, by precision."""


def stage_costs(config: ModelConfig) -> tuple[StageCost, ...]:
    """Every stage of a model, in the order in which an app runs them."""
    with torch.device("meta"):
        networks = {part: build().eval() for part, build in builders(config).items()}
        unet, autoencoder = cast(UNet, networks["unet"]), cast(Autoencoder, networks["autoencoder"])
        image = torch.empty(config.image_shape)
        latents = torch.empty(config.latent_shape)
        guided = config.schedule.guidance_kind == "cfg"
        embedding = {id(weight) for weight in unet.time_embedding.parameters()}  # a table in the exported stage
        named = autoencoder.named_parameters()
        encoder = {id(weight) for name, weight in named if name.startswith(("encoder.", "quant_conv."))}
        return (
            _cost("encode_text", 1 + guided, networks["text_encoder"], _text_run(config, networks["text_encoder"])),
            _cost("denoise", len(step_table(config.schedule)), unet, _denoise_run(config, unet), leave_out=embedding),
            _cost("decode_image", 1, autoencoder, lambda: autoencoder.to_images(latents), leave_out=encoder),
            _cost("encode_image", 0, autoencoder, lambda: autoencoder.to_latents(image), only=encoder),
        )


def stored_bytes(shapes: Iterable[tuple[int, ...]], precision: str) -> int:
    """Bytes that weights of these shapes take.

    Below 16 bits only matrices and convolutions are compressed, int8 with a float16 scale for each output channel,
    6 and 4 bits with a table of float16 values for each tensor; the other weights stay float16.
    """
    bits = PRECISIONS[precision]
    return sum(_tensor_bytes(shape, bits) for shape in shapes)


def _tensor_bytes(shape: tuple[int, ...], bits: int) -> int:
    count = torch.Size(shape).numel()
    if bits >= 16 or len(shape) < 2:
        return count * max(bits, 16) // 8
    table = shape[0] if bits == 8 else 2**bits
    return -(-count * bits // 8) + 2 * table


def _cost(
    name: str,
    runs: int,
    network: nn.Module,
    run: Callable[[], Tensor],
    only: set[int] | None = None,
    leave_out: set[int] | None = None,
) -> StageCost:
    """The cost of a stage that holds the weights of `only` (None for all), those in `leave_out` left out."""
    weights = [weight for weight in network.parameters() if only is None or id(weight) in only]
    shapes = [tuple(weight.shape) for weight in weights if id(weight) not in (leave_out or ())]
    cost = measure(network, run)
    return StageCost(
        name,
        runs,
        sum(torch.Size(shape).numel() for shape in shapes),
        cost.macs,
        cost.activation_bytes,
        cost.peak,
        {precision: stored_bytes(shapes, precision) for precision in PRECISIONS},
    )


def _text_run(config: ModelConfig, encoder: nn.Module) -> Callable[[], Tensor]:
    tokens = torch.zeros(1, config.text.max_tokens, dtype=torch.int32)
    inputs = (tokens, tokens) if config.text.uses_mask else (tokens,)  # the second is the mask
    return lambda: encoder(*inputs)


def _denoise_run(config: ModelConfig, unet: UNet) -> Callable[[], Tensor]:
    batch = 2 if config.schedule.guidance_kind == "cfg" else 1
    latents = torch.empty(batch, *config.latent_shape[1:])
    context = torch.empty(batch, *config.context_shape[1:])
    time = torch.empty(1, config.unet.time_width)
    return lambda: unet.predict(latents, time, context)
