"""The stages: the modules that are exported, each with its signature.

The stages are `encode_text`, `denoise`, `decode_image`, for models that redraw pictures `encode_image`, and for those
with ControlNets or T2I-Adapters `encode_hint`.  Shapes
are static, the batch size is 1, and inputs and outputs are float32 or int32.  `denoise` (denoise.py) contains the
schedule: time embeddings and the solver's coefficients are tables indexed by `step`, so an exported graph computes no
sinusoid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from export.denoise import Denoise, DenoiseEdit, DenoiseOnce
from export.signatures import HINT, PARTS, STAGES, TensorSpec, signature
from export.strided_pyramid import StridedAdapter
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.hint_nets import HintNets
from mobile_diffusion.t2i_adapter import T2IAdapter, packed


class StageSource(Protocol):
    """A model, or an opened checkpoint that loads the weights of one network at a time."""

    @property
    def config(self) -> ModelConfig:
        """Architecture and schedule of the model."""

    def load_part(self, part: str) -> nn.Module:
        """Return one network (a value of PARTS) in float32 and in evaluation mode."""


@dataclass(frozen=True)
class ExportStage:
    """One stage: a module whose `forward` takes the tensors of `inputs` by name, in that order.

    `forward` returns one tensor, or a tuple of tensors in the order of `outputs`.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    samples: tuple[Mapping[str, Tensor], ...] = ()
    """Inputs recorded while PyTorch drew pictures, for lowerings that calibrate with them (job/calibration.py)."""

    def example(self) -> dict[str, Tensor]:
        """Return zeros of each input's dtype and shape, in order: the keyword arguments for a tracer."""
        return {spec.name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in self.inputs}


class EncodeText(nn.Module):
    """Turns token ids into the context of `denoise`."""

    def __init__(self, text_encoder: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens int32 (1, L) -> context float32 (1, L, D)."""
        return self.text_encoder(tokens)


class EncodeTwoTexts(EncodeText):
    """Turns the token ids of SDXL's two tokenizers into what `denoise` reads."""

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """tokens int32 (1, 2, L) -> context float32 (1, L, D), pooled float32 (1, P)."""
        return self.text_encoder(tokens)


class EncodeMaskedText(EncodeText):
    """Turns token ids and a mask into the context; padded positions become zero, as in training."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """tokens, mask int32 (1, L) -> context float32 (1, L, D)."""
        return self.text_encoder(tokens, mask) * mask[:, :, None].to(torch.float32)


class DecodeImage(nn.Module):
    """Decodes latents to a picture with values in [0, 1]."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        """latents (1, C, h, w) -> image float32 (1, 3, H, W)."""
        return (self.autoencoder.to_images(latents) * 0.5 + 0.5).clamp(0.0, 1.0)  # type: ignore[operator]


class EncodeImage(nn.Module):
    """Encodes a picture with values in [0, 1] to latents: the mean of the posterior, without random sampling."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, image: Tensor) -> Tensor:
        """image float32 (1, 3, H, W) -> latents (1, C, h, w)."""
        return self.autoencoder.to_latents(image * 2.0 - 1.0)  # type: ignore[operator]


class EncodeHint(nn.Module):
    """Encodes the hints of n ControlNets or T2I-Adapters, each by its own encoder."""

    def __init__(self, config: ModelConfig, nets: HintNets) -> None:
        super().__init__()
        self.sides = config.latent_shape[2:]
        self.encoders = nn.ModuleList(
            StridedAdapter(each) if isinstance(each, T2IAdapter) else each for each in nets.encoders()
        )

    def forward(self, hints: Tensor) -> Tensor:
        """hints float32 (n, 3, H, W) in [0, 1] -> hint_features (n, K, h, w)."""
        features = [self._encode(encoder, hints[number : number + 1]) for number, encoder in enumerate(self.encoders)]
        return features[0] if len(features) == 1 else torch.cat(features)

    def _encode(self, encoder: nn.Module, hint: Tensor) -> Tensor:
        if isinstance(encoder, StridedAdapter):
            return packed(encoder.maps(hint), self.sides)
        features: Tensor = encoder(hint)
        return features


def build_stage(source: StageSource, name: str) -> ExportStage:
    """Return one stage of a model, in evaluation mode; loads only the networks that the stage needs."""
    config, network = source.config, source.load_part(PARTS[name])
    steered = name == "denoise" and config.controls and not config.steering_maps
    controls = cast(HintNets, source.load_part("controls")) if steered else None
    modules = {
        "encode_text": lambda: _encoder_of(config)(network),
        "denoise": lambda: _step_of(config)(config, network, () if controls is None else controls.control_nets),
        "decode_image": lambda: DecodeImage(network),
        "encode_image": lambda: EncodeImage(network),
        HINT: lambda: EncodeHint(config, cast(HintNets, network)),
    }
    found = signature(config, name)
    return ExportStage(name, modules[name]().eval().requires_grad_(False), found.inputs, found.outputs)


def _step_of(config: ModelConfig) -> type[Denoise]:
    """The kind of `denoise` that a model has."""
    if config.task == "edit":
        return DenoiseEdit
    return DenoiseOnce if config.schedule.guidance_shares else Denoise


def _encoder_of(config: ModelConfig) -> type[EncodeText]:
    """The kind of `encode_text` that a model has."""
    if config.text.pooled_width:
        return EncodeTwoTexts
    return EncodeMaskedText if config.text.uses_mask else EncodeText


def build_stages(source: StageSource, names: Sequence[str] = STAGES) -> Mapping[str, ExportStage]:
    """Return several stages of a model, by name."""
    return {name: build_stage(source, name) for name in names}
