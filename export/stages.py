"""The three modules that are exported, and their signatures (the contract of every artifact and runner).

`encode_text`, `denoise`, `decode_image`: static shapes, batch 1, float32 at the boundary.  The schedule is inside
`denoise`: time embeddings and update coefficients are tables indexed by `step`, so no sinusoid and no timestep
is left in an exported graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.sampler import combine_guidance
from mobile_diffusion.schedule import step_table

STAGES = ("encode_text", "denoise", "decode_image")


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype ("float32" or "int32") and static shape of one input or output."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ExportStage:
    """One stage: a module of positional tensors in the order of `inputs`, giving the one tensor `output`."""

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec

    def example(self) -> tuple[Tensor, ...]:
        """Zeros of every input's dtype and shape, in order: what a tracer is given."""
        return tuple(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in self.inputs)


class EncodeText(nn.Module):
    """Token ids and mask to context; padded positions become zero, as in training."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.text_encoder = model.text_encoder

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens, mask int32 (1, L) -> context float32 (1, L, D)."""
        return self.text_encoder(tokens, mask) * mask[:, :, None].to(torch.float32)


class Denoise(nn.Module):
    """One DDIM step with classifier-free guidance: x' = A_i x + B_i m (DESIGN: the schedule is inside)."""

    times: Tensor
    a: Tensor
    b: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.unet = model.unet
        table = step_table(model.config.schedule)
        with torch.no_grad():
            times = model.unet.embed_time(torch.tensor(table.timesteps))  # (N, time_width)
        self.register_buffer("times", times)
        self.register_buffer("a", torch.tensor(table.a, dtype=torch.float64).float())
        self.register_buffer("b", torch.tensor(table.b, dtype=torch.float64).float())

    def forward(
        self, latents: Tensor, step: Tensor, context: Tensor, null_context: Tensor, guidance: Tensor
    ) -> Tensor:
        """latents (1, C, h, w), step int32 (1,), both contexts (1, L, D), guidance (1,) -> latents (1, C, h, w)."""
        time = self.times.index_select(0, step)  # (1, time_width)
        both = torch.cat([null_context, context])  # (2, L, D)
        predicted = self.unet.predict(torch.cat([latents, latents]), time, both)  # (2, C, h, w)
        output = combine_guidance(predicted[:1], predicted[1:], guidance)
        return self.a.index_select(0, step) * latents + self.b.index_select(0, step) * output


class DecodeImage(nn.Module):
    """Latents to a picture in [0, 1]."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.autoencoder = model.autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        """latents (1, C, h, w) -> image float32 (1, 3, H, W)."""
        images = self.autoencoder.decode(latents / self.autoencoder.config.scaling_factor)
        return (images * 0.5 + 0.5).clamp(0.0, 1.0)


def build_stages(model: Model) -> Mapping[str, ExportStage]:
    """The stages of a model by name, in the order in which an app runs them; modules in eval mode."""
    config = model.config
    text = (1, config.text.max_tokens)
    context = TensorSpec("context", "float32", config.context_shape)
    latents = TensorSpec("latents", "float32", config.latent_shape)
    image = TensorSpec("image", "float32", (1, 3, config.image_size, config.image_size))
    stages = (
        ExportStage(
            "encode_text",
            EncodeText(model),
            (TensorSpec("tokens", "int32", text), TensorSpec("mask", "int32", text)),
            context,
        ),
        ExportStage(
            "denoise",
            Denoise(model),
            (
                latents,
                TensorSpec("step", "int32", (1,)),
                context,
                TensorSpec("null_context", "float32", config.context_shape),
                TensorSpec("guidance", "float32", (1,)),
            ),
            latents,
        ),
        ExportStage("decode_image", DecodeImage(model), (latents,), image),
    )
    for stage in stages:
        stage.module.eval().requires_grad_(False)
    return {stage.name: stage for stage in stages}
