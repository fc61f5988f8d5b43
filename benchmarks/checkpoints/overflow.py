"""Makes networks whose numbers float16 cannot hold and that float32 draws, by scaling weights.

The shapes are those that people meet: attention scores as in Stable Diffusion 2.1, residual streams, an activation of
the text encoder, a decoder as in Stable Diffusion XL, and weights beyond float16.
"""

from __future__ import annotations

from collections.abc import Callable

from mobile_diffusion.checkpoint import Model

Scale = tuple[str, Callable[[str], bool], float]
"""Part, which of its weights, factor."""

OVERFLOWS: dict[str, tuple[Scale, ...]] = {
    "scores": (("unet", lambda name: "attn1.to_q" in name or "attn1.to_k" in name, 300.0),),
    "digits": (
        ("unet", lambda name: "attn1.to_q" in name or "attn1.to_k" in name, 100.0),
        ("unet", lambda name: "attn1.to_out" in name, 200.0),
    ),
    "stream": (("unet", lambda name: name.startswith("conv_in."), 3e5),),
    "text": (
        ("text_encoder", lambda name: name.endswith(("layer.0.intermediate.dense.weight", "s.0.mlp.fc1.weight")), 1e3),
        ("text_encoder", lambda name: name.endswith(("layer.0.output.dense.weight", "s.0.mlp.fc2.weight")), 3e3),
    ),
    "decoder": (("autoencoder", lambda name: name.startswith("decoder.conv_in."), 3e5),),
    "filter": (("autoencoder", lambda name: name.startswith("decoder.conv_in."), 1e7),),
    "weight": (
        ("autoencoder", lambda name: name == "decoder.conv_norm_out.weight", 1e6),
        ("autoencoder", lambda name: name == "decoder.conv_out.weight", 1e-6),
    ),
}
"""Scores that overflow; scores whose softmax needs more digits than float16; the stream of the U-Net; the text encoder,
of BERT or CLIP; a decoder, and one whose filters are beyond float16; a scale beyond it that the next filter undoes."""


def overflowing(model: Model, *names: str) -> Model:
    """Scale weights of a model in place; returns it."""
    for part, picked, factor in (scale for name in names for scale in OVERFLOWS[name]):
        for name, parameter in model.parts[part].named_parameters():
            if picked(name):
                parameter.requires_grad_(False).mul_(factor)
    return model
