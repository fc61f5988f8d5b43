"""Reads a single `.safetensors` file in latent diffusion's layout (CompVis, Stability AI): Stable Diffusion 1, 2, XL.

compvis_config.py derives the architecture from names and shapes, compvis_names.py translates the names, and
compvis_settings.py reads prediction type and schedule, and single_text.py the text encoders.  EMA weights, schedule
buffers and position ids are ignored.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.formats.compvis_config import read_autoencoder, read_unet
from mobile_diffusion.formats.compvis_names import NameTable, autoencoder_names, unet_names
from mobile_diffusion.formats.compvis_settings import CompVisSettings, read_settings
from mobile_diffusion.formats.refused_families import WHOLE, refuse_other_families
from mobile_diffusion.formats.renaming import renamed
from mobile_diffusion.formats.single_text import (
    TEXT_PREFIXES,
    Family,
    Headers,
    SingleText,
    find_family,
    read_part,
    shapes_of,
)
from mobile_diffusion.formats.text_folders import tokenizer_files
from mobile_diffusion.formats.tiny_decoder import TinyDecoder
from mobile_diffusion.tensor_layout import Layout, read_headers
from mobile_diffusion.weights import refuse_pickle

UNET = "model.diffusion_model."
AUTOENCODER = "first_stage_model."
VAE_LACK = "add one with --vae"
NETWORKS = {"U-Net": (UNET,), "autoencoder": (AUTOENCODER,), "text encoder": TEXT_PREFIXES}


def read_single_file(
    file: Path,
    prediction: str | None = None,
    tokenizer: Path | None = None,
    height: int | None = None,
    width: int | None = None,
    vae: TinyDecoder | None = None,
) -> CheckpointFiles:
    """Read a single file without its weights.

    `prediction` ("v" or "epsilon") is required for Stable Diffusion 2 files that do not state it.  `tokenizer` is a
    folder that replaces CLIP's packaged vocabulary.  `height` and `width` replace the size that the file states.
    `vae` replaces the file's autoencoder.
    Raises CheckpointError when the file is damaged, incomplete or of another family, and
    ConfigError when the prediction is unknown.
    """
    headers = _read_whole(file, vae is None)
    family = find_family(file, headers)
    prefixes = {"unet": UNET} | ({"autoencoder": AUTOENCODER} if vae is None else {})
    parts = {part: read_part(file, headers, prefix) for part, prefix in prefixes.items()}
    settings = read_settings(file, set(headers), family, prediction)
    settings = dataclasses.replace(settings, height=height or settings.height, width=width or settings.width)
    try:
        text = family.read_text(file, headers)
        config, tables = _read_config(file, parts, settings, family, text, vae)
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}; {WHOLE}") from error
    layouts = {part: renamed(file, layout, tables[part]) for part, layout in parts.items()}
    return CheckpointFiles(
        config=config,
        layouts={"autoencoder": vae.layout if vae else {}} | layouts | {"text_encoder": text.layout},
        open_tokenizer=lambda: text.open_tokenizer(tokenizer),
        files=(file, *settings.files, *(tokenizer_files(tokenizer) if tokenizer else ())),
        path=file,
        kind="single-file",
    )


def _read_whole(file: Path, with_vae: bool) -> Headers:
    """Read names, shapes and types of a file's tensors; raise CheckpointError unless all networks are there.

    The autoencoder may be missing unless `with_vae`.
    """
    if not file.is_file():
        raise CheckpointError(f"{file}: expected a safetensors file, got nothing there; check the path")
    refuse_pickle(file)
    headers = read_headers(file)
    refuse_other_families(file, headers)
    missing = [
        f"{network} ({' or '.join(prefixes)}*)"
        for network, prefixes in NETWORKS.items()
        if (with_vae or network != "autoencoder") and not any(name.startswith(prefixes) for name in headers)
    ]
    if len(missing) == 1 and missing[0].startswith("autoencoder"):
        reason = f"expected a whole model, got one with no VAE inside ({AUTOENCODER}*)"
        raise CheckpointError(f"{file}: {reason}; {VAE_LACK}")
    if missing:
        raise CheckpointError(f"{file}: expected a whole model, got a file without {', '.join(missing)}; {WHOLE}")
    return headers


def _read_config(
    file: Path,
    parts: dict[str, Layout],
    settings: CompVisSettings,
    family: Family,
    text: SingleText,
    vae: TinyDecoder | None,
) -> tuple[ModelConfig, dict[str, NameTable]]:
    """Derive the configuration and the name table per network.

    Raises CheckpointError or ConfigError when the tensors do not form a supported model.
    """
    shapes = {part: shapes_of(file, layout) for part, layout in parts.items()}
    unet = read_unet(shapes["unet"], family.heads)
    autoencoder = vae.config if vae else read_autoencoder(shapes["autoencoder"], settings.scaling_factor)
    unit = autoencoder.factor * unet.downscale
    if settings.height % unit or settings.width % unit:
        got = f"{settings.width}x{settings.height}"
        raise CheckpointError(f"{file}: picture: expected multiples of {unit} pixels, got {got}; choose with --size")
    tables = {"unet": unet_names(unet)}
    if isinstance(autoencoder, AutoencoderConfig):
        tables["autoencoder"] = autoencoder_names(autoencoder)
    config = ModelConfig(
        name=file.stem,
        licence=settings.licence,
        height=settings.height,
        width=settings.width,
        unet=unet,
        autoencoder=autoencoder,
        text=text.config,
        schedule=settings.schedule,
        tokenizer=text.tokenizer,
    )
    return config, tables
