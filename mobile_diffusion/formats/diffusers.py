"""Reads a diffusers folder: model_index.json, unet/, vae/, text_encoder/, tokenizer/ and scheduler/.

Before a weight is loaded, the classes in model_index.json are checked, and every option of every config.json and
every header of the weights is read.  safety_checker/ and feature_extractor/ are ignored.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from mobile_diffusion.config import ClipTextConfig, ModelConfig, ScheduleConfig, TextConfig, UNetConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.autoencoder_json import our_autoencoder_layout, read_autoencoder
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.formats.component import (
    DIFFUSERS_STEM,
    TRANSFORMERS_STEM,
    check_variant,
    list_variants,
    read_component,
)
from mobile_diffusion.formats.json_options import JsonOptions
from mobile_diffusion.formats.pipelines import PIPELINES, check_classes
from mobile_diffusion.formats.scheduler import read_pipeline_schedule
from mobile_diffusion.formats.text_config import read_text_config
from mobile_diffusion.formats.tiny_decoder import TinyDecoder
from mobile_diffusion.formats.unet_json import read_unet
from mobile_diffusion.strict_json import read_object
from mobile_diffusion.tensor_layout import Layout
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from mobile_diffusion.tokenization.tokenizer_folder import stated_length

INDEX_FILE = "model_index.json"
CARD_FILE = "README.md"
LICENCE = re.compile(r"^licen[sc]e:[ \t]*[\"']?([\w.+-]+)", re.MULTILINE)
CONFIG_FILE = "config.json"
STEMS = {"unet": DIFFUSERS_STEM, "vae": DIFFUSERS_STEM, "text_encoder": TRANSFORMERS_STEM}
"""Folder of a network -> beginning of the names of its weights."""
IGNORED = ("embeddings.position_ids", "text_projection.weight")
"""Tensors in files of a text encoder that a CLIPTextModel does not load."""
SCHEDULER_FILE = "scheduler_config.json"
OLD_VERSION, OLD_SIZE = (0, 9), 64
"""A U-Net written by a diffusers version before OLD_VERSION whose sample_size is below OLD_SIZE gets OLD_SIZE."""
VERSION = re.compile(r"(\d+)\.(\d+)")


def is_diffusers(path: Path) -> bool:
    """Whether `path` is a folder with a model_index.json."""
    return (path / INDEX_FILE).is_file()


def read_diffusers(
    path: Path,
    variant: str | None = None,
    solver: str | None = None,
    prediction: str | None = None,
    name: str | None = None,
    vae: TinyDecoder | None = None,
    size: tuple[int | None, int | None] = (None, None),
) -> CheckpointFiles:
    """Read a diffusers folder without its weights.

    `variant` chooses one variant of the weights, such as "fp16"; a component that has only plain weights is read from
    those.  `solver` replaces the scheduler's own.  `prediction` is what the U-Net predicts, for a scheduler's file
    that does not state it.  `name` is the model's name, by default that of the folder.  `vae` replaces that of the
    folder.  `size` is the height and width of the pictures for a U-Net that does not state its own.  Raises
    CheckpointError when the model is of another family, or when a file is missing, damaged or needs
    something that is not supported; the message names the file.  Raises ConfigError when `prediction` is not that of
    the file.
    """
    replaced = () if vae is None else ("vae",)
    kinds = check_classes(path / INDEX_FILE, read_object(path / INDEX_FILE), replaced)
    schedule = _schedule(path / "scheduler" / SCHEDULER_FILE, kinds, solver, prediction)
    config = _read_config(path, kinds, schedule, name or path.resolve().name, vae, size)
    parts = {part: stem for part, stem in STEMS.items() if part not in replaced}
    check_variant(path, [list_variants(path / part, stem) for part, stem in parts.items()], variant)
    unet, unet_files = read_component(path / "unet", DIFFUSERS_STEM, variant)
    vae_layout, vae_files = _read_vae(path / "vae", variant) if vae is None else (vae.layout, ())
    text, text_files = read_component(path / "text_encoder", TRANSFORMERS_STEM, variant)
    return CheckpointFiles(
        config=config,
        layouts={"unet": unet, "autoencoder": vae_layout, "text_encoder": our_text_layout(text)},
        open_tokenizer=lambda: open_clip_tokenizer(path / "tokenizer", config.text),
        files=(*_settings_files(path, vae is None), *unet_files, *vae_files, *text_files),
        path=path,
        kind="diffusers",
    )


def open_clip_tokenizer(folder: Path, text: TextConfig) -> ClipTokenizer:
    """Open the tokenizer of a folder; raise CheckpointError when it has more tokens than the text encoder embeds."""
    tokenizer = ClipTokenizer.from_folder(folder, text.max_tokens)
    if tokenizer.vocabulary > text.vocabulary:
        raise CheckpointError(
            f"{folder}: expected at most {text.vocabulary:,} tokens, as in the text encoder, got "
            f"{tokenizer.vocabulary:,}; use the tokenizer that belongs to the checkpoint"
        )
    return tokenizer


def our_text_layout(layout: Layout) -> Layout:
    """Rename the tensors of a CLIPTextModel to ours: add the prefix `text_model.` if missing, drop what it ignores."""
    kept = {name: stored for name, stored in layout.items() if not name.endswith(IGNORED)}
    prefix = "" if any(name.startswith("text_model.") for name in kept) else "text_model."
    return {prefix + name: stored for name, stored in kept.items()}


def _read_vae(folder: Path, variant: str | None) -> tuple[Layout, tuple[Path, ...]]:
    layout, files = read_component(folder, DIFFUSERS_STEM, variant)
    return our_autoencoder_layout(layout), files


def _options(file: Path) -> JsonOptions:
    return JsonOptions(file, read_object(file))


def _read_config(
    path: Path,
    kinds: Mapping[str, str],
    schedule: ScheduleConfig,
    name: str,
    vae: TinyDecoder | None,
    size: tuple[int | None, int | None],
) -> ModelConfig:
    """Combine the configurations of all components; raise CheckpointError when they do not fit together."""
    unet, latents = _read_unet(path / "unet" / CONFIG_FILE, kinds["pipeline"])
    if unet.guidance_width:  # a U-Net that embeds the guidance scale is evaluated once per step
        schedule = dataclasses.replace(schedule, guidance_kind="distilled")
    schedule = dataclasses.replace(schedule, guidance=PIPELINES[kinds["pipeline"]].guidance)
    autoencoder = vae.config if vae else read_autoencoder(_options(path / "vae" / CONFIG_FILE), kinds["vae"])
    text = _read_text(path)
    height, width = _size(path / "unet" / CONFIG_FILE, latents, autoencoder.factor, size)
    try:
        return ModelConfig(
            name=name,
            licence=_licence(path / CARD_FILE),
            height=height,
            width=width,
            unet=unet,
            autoencoder=autoencoder,
            text=text,
            schedule=schedule,
            tokenizer="clip-bpe",
        )
    except ConfigError as error:
        raise CheckpointError(f"{path}: expected components that fit together, got: {error}") from error


def _read_text(path: Path) -> ClipTextConfig:
    """Read the text encoder's configuration; prompts have the length in the tokenizer's settings, if it is there."""
    text = read_text_config(path / "text_encoder" / CONFIG_FILE)
    length = stated_length(path / "tokenizer")
    if length is None or length == text.max_tokens:
        return text
    try:
        return dataclasses.replace(text, max_tokens=length)
    except ConfigError as error:
        raise CheckpointError(f"{path / 'tokenizer'}: expected a length the text encoder can take: {error}") from error


def _size(
    file: Path, latents: tuple[int, int] | None, factor: int, size: tuple[int | None, int | None]
) -> tuple[int, int]:
    """Height and width of the pictures in pixels; raise CheckpointError when neither the U-Net nor `size` says."""
    if latents is not None:
        return latents[0] * factor, latents[1] * factor
    height, width = size
    if height is None or width is None:
        raise CheckpointError(
            f"{file}: option 'sample_size': expected the size of the latents, got None; choose the pictures' size, "
            "such as --size 512"
        )
    return height, width


def _read_unet(file: Path, pipeline: str) -> tuple[UNetConfig, tuple[int, int] | None]:
    """Read the U-Net's configuration and the size of its latents, which some pipelines correct in files of 2022."""
    values = read_object(file)
    size, version = values.get("sample_size"), VERSION.match(str(values.get("_diffusers_version")))
    is_old = version is not None and (int(version[1]), int(version[2])) < OLD_VERSION
    if PIPELINES[pipeline].corrects_size and is_old and type(size) is int and size < OLD_SIZE:
        values = {**values, "sample_size": OLD_SIZE}
    return read_unet(JsonOptions(file, values))


def _schedule(file: Path, kinds: Mapping[str, str], solver: str | None, prediction: str | None) -> ScheduleConfig:
    """The schedule that diffusers' pipeline would use."""
    changes = PIPELINES[kinds["pipeline"]].scheduler
    return read_pipeline_schedule(file, kinds["scheduler"], changes, solver, prediction)


def _licence(card: Path) -> str:
    """The licence in the front matter of a model card, or "unknown"."""
    if not card.is_file():
        return "unknown"
    found = LICENCE.search(card.read_text(encoding="utf-8", errors="replace"))
    return found[1] if found else "unknown"


def _settings_files(path: Path, with_vae: bool) -> list[Path]:
    """The files besides the weights that affect the pictures."""
    configs = [path / part / CONFIG_FILE for part in ("unet", *(["vae"] if with_vae else []), "text_encoder")]
    tokenizer = sorted(file for file in (path / "tokenizer").glob("*") if file.suffix in (".json", ".txt"))
    return [path / INDEX_FILE, path / "scheduler" / SCHEDULER_FILE, *configs, *tokenizer]
