"""Reads a VAE from elsewhere (`--vae`): a diffusers folder, or a file in diffusers' or latent diffusion's names.

It replaces the checkpoint's own, or the one that the checkpoint lacks.  A file states no scaling factor, so it has
that of Stable Diffusion 1 and 2, as in diffusers' AutoencoderKL.from_single_file.
"""

from __future__ import annotations

from pathlib import Path

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.autoencoder_json import our_autoencoder_layout
from mobile_diffusion.formats.compvis_config import Shapes, read_autoencoder
from mobile_diffusion.formats.compvis_names import autoencoder_names
from mobile_diffusion.formats.renaming import renamed
from mobile_diffusion.formats.tiny_decoder import TinyDecoder, read_folder
from mobile_diffusion.tensor_layout import Layout, read_layout
from mobile_diffusion.weights import refuse_pickle

PREFIX = "first_stage_model."
"""Beginning of the names of the VAE in a file of a whole model."""
TRAINING = ("loss.", "model_ema.")
LDM, DIFFUSERS = "encoder.down.0.", "encoder.down_blocks.0."
FIX = "use a VAE of Stable Diffusion 1 or 2 (tiny ones: --decoder)"


def read_vae(path: Path) -> TinyDecoder:
    """Read a KL autoencoder from a folder or a file, without its weights.

    Raises CheckpointError when it is missing, damaged, a pickle, or not a KL autoencoder.
    """
    if path.is_dir():
        found = read_folder(path)
        if found.config.kind != "kl":
            raise CheckpointError(f"{path}: expected an AutoencoderKL, got a tiny autoencoder; use --decoder")
        return found
    refuse_pickle(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a VAE, a folder or a .safetensors file, got nothing; check the path")
    layout = _vae_alone(read_layout(path))
    try:
        if any(name.startswith(LDM) for name in layout):
            return _read_ldm(path, layout)
        if any(name.startswith(DIFFUSERS) for name in layout):
            return _read_diffusers(path, layout)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}; {FIX}") from error
    raise CheckpointError(f"{path}: expected a VAE ({LDM}* or {DIFFUSERS}*), got other tensors; {FIX}")


def _vae_alone(layout: Layout) -> Layout:
    """The tensors of the VAE, also of a whole model; those of its training are left out."""
    inside = {name.removeprefix(PREFIX): stored for name, stored in layout.items() if name.startswith(PREFIX)}
    return {name: stored for name, stored in (inside or layout).items() if not name.startswith(TRAINING)}


def _read_ldm(file: Path, layout: Layout) -> TinyDecoder:
    """A file in latent diffusion's names."""
    config = read_autoencoder(_shapes(file, layout), AutoencoderConfig.scaling_factor)
    return TinyDecoder(config, renamed(file, layout, autoencoder_names(config)), (file,))


def _read_diffusers(file: Path, layout: Layout) -> TinyDecoder:
    """A file in diffusers' names, the weights of a folder without its config.json."""
    shapes = _shapes(file, layout)
    levels = range(shapes.count(r"encoder\.down_blocks"))
    config = AutoencoderConfig(
        channels=tuple(shapes.size(f"encoder.down_blocks.{level}.resnets.0.conv2.weight") for level in levels),
        latent_channels=shapes.size("decoder.conv_in.weight", 1),
        resnets=shapes.count(r"encoder\.down_blocks\.0\.resnets"),
    )
    return TinyDecoder(config, our_autoencoder_layout(layout), (file,))


def _shapes(file: Path, layout: Layout) -> Shapes:
    return Shapes(file, {name: stored.shape for name, stored in layout.items()})
