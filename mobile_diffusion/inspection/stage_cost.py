"""Computes the cost of a model's stages as phones run them: work, memory, and size of the weights.

The configuration is enough: the networks are built and run on the meta device at the checkpoint's picture size.  All
evaluations of a guided step form one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.control_net import ControlNet, total
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.formats.checkpoint_files import builders
from mobile_diffusion.hint_nets import HintNets
from mobile_diffusion.inspection.cost import measure
from mobile_diffusion.tiles import tile_count
from mobile_diffusion.unet import UNet

PRECISIONS = {"fp32": 32, "fp16": 16, "int8": 8, "6-bit": 6, "4-bit": 4}
"""Name of a precision -> bits per weight."""


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage at the model's picture size."""

    name: str
    """encode_text, denoise, decode_image, encode_image or encode_hint; only a drawing that starts from a picture needs
    encode_image, and only a model with ControlNets has encode_hint."""
    runs: int
    """Number of runs for one picture drawn from a prompt."""
    parameters: int
    macs: int
    """Multiply-accumulates of one run; a guided `denoise` evaluates its network twice, or thrice to edit."""
    activation_bytes: int
    """Peak memory of activations in one run, in bytes, in float32."""
    peak: str
    """The operation at the peak, with the shape of its output."""
    weight_bytes: dict[str, int]
    """Size of the weights in bytes, per precision."""


def stage_costs(config: ModelConfig) -> tuple[StageCost, ...]:
    """The cost of every stage: first those of a picture, in the order in which an app runs them, then the others."""
    with torch.device("meta"):
        networks = {part: build().eval() for part, build in builders(config).items()}
        unet, autoencoder = cast(UNet, networks["unet"]), cast(Autoencoder, networks["autoencoder"])
        latents = torch.empty(config.tile_shape)
        tile = torch.empty(1, 3, *(config.autoencoder.factor * side for side in config.tile_shape[2:]))
        reads_picture = int(config.task != "draw")
        settings = DrawSettings.of(config)
        guided, calls, tiles = config.schedule.applied_guidance == "cfg", settings.calls, tile_count(settings)
        named = autoencoder.named_parameters()
        encoder = {id(weight) for name, weight in named if name.startswith(("encoder.", "quant_conv."))}
        nets = cast(HintNets, networks.get("controls", HintNets(())))
        hints = torch.empty(len(nets), *config.image_shape[1:])
        controls, hint_encoders = nets.control_nets, list(nets.encoders())
        networks["denoise"] = nn.ModuleList([unet, *controls]) if controls else unet
        left_out = {id(weight) for part in (*controls, unet) for weight in part.time_embedding.parameters()}
        left_out |= {id(weight) for part in hint_encoders for weight in part.parameters()}
        steered = (
            [_cost("encode_hint", 1, nn.ModuleList(hint_encoders), lambda: nets.encode(hints, config.latent_shape[2:]))]
            if hint_encoders
            else []
        )
        return (
            _cost(
                "encode_text",
                (1 + guided) * config.windows,
                networks["text_encoder"],
                _text_run(config, networks["text_encoder"]),
            ),
            _cost("denoise", calls, networks["denoise"], _denoise_run(config, unet, controls), leave_out=left_out),
            _cost("decode_image", tiles, autoencoder, lambda: autoencoder.to_images(latents), leave_out=encoder),
            _cost(
                "encode_image",
                reads_picture * tiles,
                autoencoder,
                lambda: autoencoder.to_latents(tile),
                only=encoder,
            ),
            *steered,
        )


def stored_bytes(shapes: Iterable[tuple[int, ...]], precision: str) -> int:
    """Size in bytes of weights of these shapes.

    Below 16 bits, only matrices and convolutions are compressed: int8 with a float16 scale per output channel, 6 and
    4 bits with a palette of float16 values per tensor.  Other weights stay float16.
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
    run: Callable[[], object],
    only: set[int] | None = None,
    leave_out: set[int] | None = None,
) -> StageCost:
    """The cost of a stage with the weights in `only` (None for all) except those in `leave_out`, by id."""
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


def _text_run(config: ModelConfig, encoder: nn.Module) -> Callable[[], object]:
    tokens = torch.zeros(config.text.tokens_shape, dtype=torch.int32)
    inputs = (tokens, tokens) if config.text.uses_mask else (tokens,)  # tokens, mask
    return lambda: encoder(*inputs)


def _denoise_run(config: ModelConfig, unet: UNet, controls: Sequence[ControlNet]) -> Callable[[], Tensor]:
    schedule = config.schedule
    guided = schedule.applied_guidance == "cfg" and not schedule.guidance_shares
    batch = (3 if config.task == "edit" else 2) if guided else 1
    latents = torch.empty(batch, config.unet.in_channels, *config.latent_shape[2:])
    context = torch.empty(batch, *config.context_shape[1:])
    pooled_width = config.unet.pooled_width
    time = torch.empty(1, config.unet.time_width * (2 if pooled_width else 1))
    pooled = torch.empty(batch, pooled_width) if pooled_width else None
    features = torch.empty(1, config.unet.down[0].channels, *config.latent_shape[2:])

    def run() -> Tensor:
        found = [net.residuals(latents, features, time, context, pooled) for net in controls]
        return unet.predict(latents, time, context, pooled, total(found) if found else ())

    return run
