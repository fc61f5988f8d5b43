"""Reads a single `.safetensors` file in latent diffusion's layout (CompVis, Stability AI): Stable Diffusion 1 and 2.

compvis_config.py derives the architecture from names and shapes, compvis_names.py translates the names, and
compvis_settings.py reads prediction type and schedule.  EMA weights, schedule buffers and position ids are ignored.
Such files contain no tokenizer, so CLIP's vocabulary is part of this package.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from tokenizers import AddedToken

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.formats.compvis_config import (
    OPEN_CLIP_LAYERS,
    Shapes,
    read_autoencoder,
    read_clip,
    read_open_clip,
    read_unet,
)
from mobile_diffusion.formats.compvis_names import (
    NameTable,
    autoencoder_names,
    clip_names,
    open_clip_names,
    unet_names,
)
from mobile_diffusion.formats.compvis_settings import CompVisSettings, read_settings
from mobile_diffusion.formats.refused_families import WHOLE, refuse_other_families
from mobile_diffusion.formats.renaming import renamed
from mobile_diffusion.formats.tiny_decoder import TinyDecoder
from mobile_diffusion.tensor_layout import Layout, Shape, Stored, read_headers
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer, define
from mobile_diffusion.tokenization.tokenizer_folder import read_tokenizer_folder
from mobile_diffusion.weights import refuse_pickle

VOCABULARY = Path(__file__).parents[1] / "clip_vocabulary"
"""CLIP's tokenizer folder, with the padding of Stable Diffusion 1."""
OPEN_CLIP_PADDING = "!"
"""Padding token of Stable Diffusion 2, id 0.  It is a special token, as in the tokenizer folder of diffusers."""

UNET = "model.diffusion_model."
AUTOENCODER = "first_stage_model."
CLIP = "cond_stage_model.transformer."
OPEN_CLIP = ("cond_stage_model.model.", "conditioner.embedders.0.model.")
"""OpenCLIP's text encoder, in files of latent diffusion and of generative-models (sd_turbo.safetensors)."""
VAE_LACK = "add one with --vae"
NETWORKS = {"U-Net": (UNET,), "autoencoder": (AUTOENCODER,), "text encoder": (CLIP, *OPEN_CLIP)}

UNUSED = re.compile(
    r"(?:.*\.)?position_ids|text_projection(?:\.weight)?|logit_scale|attn_mask|loss\..*"
    rf"|transformer\.resblocks\.{OPEN_CLIP_LAYERS}\..*"
)
"""Tensors of a file that our networks do not use."""


Headers = dict[str, tuple[Shape, str]]


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
    encoder = _text_encoder(file, headers)
    open_clip = encoder != CLIP
    prefixes = {"unet": UNET, "autoencoder": AUTOENCODER, "text_encoder": encoder}
    parts = {part: _read_part(file, headers, prefix) for part, prefix in prefixes.items()}
    if vae is not None:
        del parts["autoencoder"]
    if not open_clip:
        parts["text_encoder"] = renamed(file, parts["text_encoder"], clip_names())
    settings = read_settings(file, set(headers), open_clip, prediction)
    settings = dataclasses.replace(settings, height=height or settings.height, width=width or settings.width)
    try:
        config, tables = _read_config(file, parts, settings, open_clip, vae)
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}; {WHOLE}") from error
    layouts = {part: renamed(file, layout, tables[part]) for part, layout in parts.items()}
    return CheckpointFiles(
        config=config,
        layouts=layouts if vae is None else {**layouts, "autoencoder": vae.layout},
        open_tokenizer=lambda: _open_tokenizer(tokenizer, open_clip, config.text.max_tokens),
        files=(file, *settings.files, *_tokenizer_files(tokenizer)),
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


def _text_encoder(file: Path, headers: Headers) -> str:
    """The prefix of the text encoder: CLIP, or one of OPEN_CLIP; raises CheckpointError for two encoders."""
    found = [prefix for prefix in (CLIP, *OPEN_CLIP) if any(name.startswith(prefix) for name in headers)]
    if len(found) > 1:
        raise CheckpointError(f"{file}: expected one text encoder, got {' and '.join(found)}; {WHOLE}")
    return found[0]


def _read_part(file: Path, headers: Headers, prefix: str) -> Layout:
    """The layout of one network, with the prefix removed from the names; unused tensors are left out."""
    layout: Layout = {}
    for name, (shape, dtype) in headers.items():
        rest = name.removeprefix(prefix)
        if rest != name and not UNUSED.fullmatch(rest):
            layout[rest] = Stored(file, name, shape, dtype)
    return layout


def _read_config(
    file: Path, parts: dict[str, Layout], settings: CompVisSettings, open_clip: bool, vae: TinyDecoder | None
) -> tuple[ModelConfig, dict[str, NameTable]]:
    """Derive the configuration and the name table per network.

    Raises CheckpointError or ConfigError when the tensors do not form a supported model.
    """
    shapes = {
        part: Shapes(file, {name: stored.shape for name, stored in layout.items()}) for part, layout in parts.items()
    }
    unet = read_unet(shapes["unet"], open_clip)
    autoencoder = vae.config if vae else read_autoencoder(shapes["autoencoder"], settings.scaling_factor)
    text = (read_open_clip if open_clip else read_clip)(shapes["text_encoder"])
    unit = autoencoder.factor * unet.downscale
    if settings.height % unit or settings.width % unit:
        got = f"{settings.width}x{settings.height}"
        raise CheckpointError(f"{file}: picture: expected multiples of {unit} pixels, got {got}; choose with --size")
    tables = {
        "unet": unet_names(unet),
        "text_encoder": open_clip_names(text) if open_clip else clip_names(),
    }
    if isinstance(autoencoder, AutoencoderConfig):
        tables["autoencoder"] = autoencoder_names(autoencoder)
    config = ModelConfig(
        name=file.stem,
        licence=settings.licence,
        height=settings.height,
        width=settings.width,
        unet=unet,
        autoencoder=autoencoder,
        text=text,
        schedule=settings.schedule,
        tokenizer="clip-bpe",
    )
    return config, tables


def _tokenizer_files(folder: Path | None) -> list[Path]:
    """The files of the user's tokenizer; none for the packaged one."""
    return [] if folder is None else sorted(file for file in folder.glob("*") if file.suffix in (".json", ".txt"))


def _open_tokenizer(folder: Path | None, open_clip: bool, max_tokens: int) -> ClipTokenizer:
    """Open the tokenizer in `folder`, or CLIP's with the padding token of the model's family."""
    if folder is not None:
        return ClipTokenizer.from_folder(folder, max_tokens)
    if not open_clip:
        return ClipTokenizer.from_folder(VOCABULARY, max_tokens)
    files = read_tokenizer_folder(VOCABULARY)
    added = (*files.special.added, AddedToken(OPEN_CLIP_PADDING, special=True))
    special = dataclasses.replace(files.special, padding=OPEN_CLIP_PADDING, added=added)
    return ClipTokenizer(define(dataclasses.replace(files, special=special)), max_tokens)
