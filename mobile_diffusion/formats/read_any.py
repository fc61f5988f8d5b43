"""Detects the format of a checkpoint and calls its reader."""

from __future__ import annotations

from pathlib import Path

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.formats.diffusers import is_diffusers, read_diffusers
from mobile_diffusion.formats.hub import cached_snapshot, fetch, is_identifier, model_name
from mobile_diffusion.formats.native import read_native
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.formats.single_file import read_single_file
from mobile_diffusion.formats.tiny_decoder import TinyDecoder
from mobile_diffusion.formats.vae_source import read_vae

SAFETENSORS = ".safetensors"


def read_source(path: Path | str, options: OpenOptions) -> CheckpointFiles:
    """Read the checkpoint at a path or hub id, without its weights; changes.py applies the options afterwards.

    Raises CheckpointError when there is no checkpoint, ConfigError when an option does not apply to its format.
    """
    if options.vae is not None and options.decoder is not None:
        raise ConfigError("options vae and decoder: expected one of them, got both; leave one out")
    vae = None if options.vae is None else read_vae(options.vae)
    if is_identifier(path):
        _refuse(options, "a model on the hub", "tokenizer")
        folder, name = fetch(str(path), options.variant), str(path).split("/")[1]
        return _read_folder(folder, name, options, vae)
    path = cached_snapshot(Path(path)) or Path(path)
    if is_diffusers(path):
        _refuse(options, "a diffusers folder", "tokenizer")
        return _read_folder(path, model_name(path), options, vae)
    if path.is_file() and path.suffix.lower() == SAFETENSORS:
        _refuse(options, "a single file", "variant")
        return read_single_file(path, options.prediction, options.tokenizer, options.height, options.width, vae)
    _refuse(options, "a folder of our own", "variant", "prediction", "tokenizer")
    return read_native(path)


def _read_folder(folder: Path, name: str, options: OpenOptions, vae: TinyDecoder | None) -> CheckpointFiles:
    size = (options.height, options.width)
    return read_diffusers(folder, options.variant, options.solver, options.prediction, name, vae, size)


def _refuse(options: OpenOptions, what: str, *names: str) -> None:
    """Raise ConfigError for an option that does not apply to the format."""
    for name in names:
        if getattr(options, name) is not None:
            raise ConfigError(f"option {name}: expected none for {what}, got {getattr(options, name)}; leave it out")
