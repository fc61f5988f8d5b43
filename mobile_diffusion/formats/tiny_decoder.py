"""Reads an autoencoder that replaces a checkpoint's own (`--decoder`).

It is a diffusers folder of a KL or tiny autoencoder, or a safetensors file of a tiny one.  A tiny autoencoder encodes
to the same latents that the U-Net works on.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from mobile_diffusion.autoencoder_config import AutoencoderConfig, TinyAutoencoderConfig
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.autoencoder_json import our_autoencoder_layout, read_autoencoder
from mobile_diffusion.formats.component import DIFFUSERS_STEM, read_component
from mobile_diffusion.formats.json_options import JsonOptions
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import read_object
from mobile_diffusion.tensor_layout import Layout, read_layout
from mobile_diffusion.weights import refuse_pickle

CONFIG_FILE = "config.json"
FIRST = "decoder.layers.0.weight"
"""The tensor whose shape shows the channels of a tiny autoencoder and of its latents."""
NUMBERED = re.compile(r"(encoder|decoder)\.(\d+)\.(.+)")
"""TAESD's own names: encoder and decoder are one numbered sequence each.  The decoder begins with a clamp, which has
no weights, so its numbers are one higher than ours."""


@dataclasses.dataclass(frozen=True)
class TinyDecoder:
    """An autoencoder on disk whose weights have not been read."""

    config: AutoencoderConfig | TinyAutoencoderConfig
    layout: Layout
    files: tuple[Path, ...]


def read_decoder(path: Path) -> TinyDecoder:
    """Read an autoencoder from a diffusers folder or a safetensors file, without its weights.

    Raises CheckpointError when it is missing, damaged, a pickle, or not a supported autoencoder.
    """
    if path.is_dir():
        return read_folder(path)
    refuse_pickle(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: expected an autoencoder's folder or file, got nothing there; check the path")
    layout = {_our_name(name): stored for name, stored in read_layout(path).items()}
    if FIRST not in layout or not any(name.startswith("encoder.") for name in layout):
        found = next(iter(sorted(layout)), "nothing")
        raise CheckpointError(
            f"{path}: expected a tiny autoencoder, encoder and decoder, got {quoted(found)} and others"
        )
    channels, latents, *_ = layout[FIRST].shape
    return TinyDecoder(TinyAutoencoderConfig(channels=channels, latent_channels=latents), layout, (path,))


def read_folder(folder: Path) -> TinyDecoder:
    """Read an autoencoder from a diffusers folder; raise CheckpointError as `read_decoder` does."""
    values = read_object(folder / CONFIG_FILE)
    config = read_autoencoder(JsonOptions(folder / CONFIG_FILE, values), str(values.get("_class_name")))
    layout, files = read_component(folder, DIFFUSERS_STEM, None)
    return TinyDecoder(config, our_autoencoder_layout(layout), (folder / CONFIG_FILE, *files))


def _our_name(name: str) -> str:
    found = NUMBERED.fullmatch(name)
    if found is None:
        return name
    part, number, rest = found.groups()
    return f"{part}.layers.{int(number) - (part == 'decoder')}.{rest}"
