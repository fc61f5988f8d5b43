"""Checkpoints whose numbers float16 cannot hold, and that float32 draws: the shapes of what people meet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from mobile_diffusion.checkpoint import Model, save_checkpoint
from tests.mobile_diffusion.checkpoints import rewrite

Scale = tuple[str, Callable[[str], bool], float]
"""Part, which of its weights, factor."""

OVERFLOWS: dict[str, tuple[Scale, ...]] = {
    "scores": (("unet", lambda name: "attn1.to_q" in name or "attn1.to_k" in name, 40.0),),
    "stream": (("unet", lambda name: name.startswith("conv_in."), 3e5),),
    "text": (("text_encoder", lambda name: name.endswith("layer.0.output.dense.weight"), 3e6),),
    "decoder": (("autoencoder", lambda name: name.startswith("decoder.conv_in."), 3e5),),
    "weight": (
        ("autoencoder", lambda name: name == "decoder.conv_norm_out.weight", 1e6),
        ("autoencoder", lambda name: name == "decoder.conv_out.weight", 1e-6),
    ),
}
"""Attention scores as Stable Diffusion 2.1's; a residual stream of the U-Net; an activation of the text encoder; a
decoder as Stable Diffusion XL's; a weight that float16 cannot hold, undone by the next one."""


def overflowing(model: Model, *names: str) -> Model:
    """Scale weights of a model in place."""
    for part, picked, factor in (scale for name in names for scale in OVERFLOWS[name]):
        parameters = [each for name, each in model.parts[part].named_parameters() if picked(name)]
        assert parameters, part
        for parameter in parameters:
            parameter.requires_grad_(False).mul_(factor)
    return model


def save_overflowing(model: Model, path: Path, *names: str) -> Path:
    """Write a model as a checkpoint of float32 weights, scaled."""
    save_checkpoint(model, path)
    for part, picked, factor in (scale for name in names for scale in OVERFLOWS[name]):

        def scale(state: dict[str, Tensor], picked: Callable[[str], bool] = picked, factor: float = factor) -> None:
            state |= {name: tensor.float() * factor for name, tensor in state.items() if picked(name)}

        rewrite(path / f"{part}.safetensors", scale)
    return path
