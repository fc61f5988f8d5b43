"""Reads a diffusers vae/config.json into an `AutoencoderConfig` or a `TinyAutoencoderConfig`; renames its tensors.

Every option of AutoencoderKL and AutoencoderTiny is either read or checked against the value that our networks
implement.  An option with another value is an error.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from mobile_diffusion.autoencoder_config import AutoencoderConfig, TinyAutoencoderConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.json_options import EMA_NOTES, UPCAST_SOFTMAX, Accepted, JsonOptions
from mobile_diffusion.quoting import shortened
from mobile_diffusion.tensor_layout import Layout, Stored

UNSUPPORTED = "mobile-diffusion does not support it; use the autoencoder of a Stable Diffusion 1 or 2 relative"
KL_REQUIRED: dict[str, Accepted] = {
    "in_channels": (3,),
    "out_channels": (3,),
    "act_fn": ("silu", "swish"),
    "shift_factor": (None, 0.0),
    "latents_mean": (None,),
    "latents_std": (None,),
    "use_quant_conv": (True,),
    "use_post_quant_conv": (True,),
    "mid_block_add_attention": (True,),
}
TINY_REQUIRED: dict[str, Accepted] = {
    "in_channels": (3,),
    "out_channels": (3,),
    "act_fn": ("relu",),
    "upsample_fn": ("nearest",),
    "upsampling_scaling_factor": (2,),
    "latent_magnitude": (3,),
    "latent_shift": (0.5,),
    "shift_factor": (0.0,),
}
"""Required values.  latent_magnitude and latent_shift matter only for latents stored as pictures: the decoder always
uses a magnitude of 3."""
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of the attention projections in files written before diffusers 0.17 -> names since then."""
ATTENTION = re.compile(r"(.+\.attentions\.\d+\.)(query|key|value|proj_attn)\.(weight|bias)")
PROJECTION = re.compile(r".+\.attentions\.\d+\.to_(q|k|v|out\.0)\.weight")


def read_autoencoder(options: JsonOptions, kind: str) -> AutoencoderConfig | TinyAutoencoderConfig:
    """Read the options of an autoencoder of the diffusers class `kind`.

    Raises CheckpointError for another class, and for an option that is unknown or has an unsupported value.
    """
    if kind not in READERS:
        raise CheckpointError(f"{options.file}: expected {' or '.join(READERS)}, got {shortened(kind)}; {UNSUPPORTED}")
    try:
        config = READERS[kind](options)
    except ConfigError as error:
        raise CheckpointError(f"{options.file}: {error}") from error
    options.finish()
    return config


def _read_kl(options: JsonOptions) -> AutoencoderConfig:
    channels = options.whole_list("block_out_channels", [64])
    for name, block in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
        kinds = options.names(name, [block])
        if kinds != [block] * len(channels):
            raise options.wrong(name, f"{len(channels)} times {block}", kinds, UNSUPPORTED)
    options.require(KL_REQUIRED, UNSUPPORTED)
    options.ignore("sample_size", UPCAST_SOFTMAX, *EMA_NOTES)
    return AutoencoderConfig(
        channels=tuple(channels),
        latent_channels=options.whole("latent_channels", 4),
        resnets=options.whole("layers_per_block", 1),
        groups=options.whole("norm_num_groups", 32),
        scaling_factor=float(options.number("scaling_factor", 0.18215)),
        force_upcast=options.flag("force_upcast", False),
    )


def _read_tiny(options: JsonOptions) -> TinyAutoencoderConfig:
    encoder = options.whole_list("encoder_block_out_channels", [64] * 4)
    decoder = options.whole_list("decoder_block_out_channels", [64] * 4)
    alike = [encoder[0]] * len(encoder)
    options.require({"block_out_channels": (encoder, None)}, UNSUPPORTED)
    if encoder != alike or decoder != alike:
        raise options.wrong("decoder_block_out_channels", f"equal channels, {shortened(alike)}", decoder, UNSUPPORTED)
    options.require(TINY_REQUIRED, UNSUPPORTED)
    options.ignore("force_upcast", *EMA_NOTES)
    return TinyAutoencoderConfig(
        channels=encoder[0],
        latent_channels=options.whole("latent_channels", 4),
        encoder_blocks=tuple(options.whole_list("num_encoder_blocks", [1, 3, 3, 3])),
        decoder_blocks=tuple(options.whole_list("num_decoder_blocks", [3, 3, 3, 1])),
        scaling_factor=float(options.number("scaling_factor", 1.0)),
    )


READERS: dict[str, Callable[[JsonOptions], AutoencoderConfig | TinyAutoencoderConfig]] = {
    "AutoencoderKL": _read_kl,
    "AutoencoderTiny": _read_tiny,
}
"""Diffusers class -> the function that reads its options."""


def our_autoencoder_layout(layout: Layout) -> Layout:
    """Rename the tensors of a diffusers layout to ours: new attention names, 1x1 convolutions as linear layers."""
    return {_our_name(name): _as_linear(_our_name(name), stored) for name, stored in layout.items()}


def _our_name(name: str) -> str:
    old = ATTENTION.fullmatch(name)
    return f"{old[1]}{OLD_NAMES[old[2]]}.{old[3]}" if old else name


def _as_linear(name: str, stored: Stored) -> Stored:
    """Return the tensor, as a matrix if it is an attention projection stored as a 1x1 convolution."""
    if PROJECTION.fullmatch(name) and len(stored.shape) == 4 and stored.shape[2:] == (1, 1):
        return dataclasses.replace(stored, shape=stored.shape[:2])
    return stored
