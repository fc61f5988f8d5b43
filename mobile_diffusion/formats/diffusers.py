"""Reads a diffusers folder: model_index.json, unet/, vae/, scheduler/, and text_folders.py the text encoders.

Before a weight is loaded, the classes in model_index.json are checked, and every option of every config.json and
every header of the weights is read.  safety_checker/ and feature_extractor/ are ignored.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_diffusion.config import ModelConfig, ScheduleConfig, UNetConfig
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
from mobile_diffusion.formats.text_folders import TextFolders
from mobile_diffusion.formats.tiny_decoder import TinyDecoder
from mobile_diffusion.formats.unet_json import read_unet
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import read_object
from mobile_diffusion.tensor_layout import Layout

INDEX_FILE = "model_index.json"
CARD_FILE = "README.md"
LICENCE = re.compile(r"^licen[sc]e:[ \t]*[\"']?([\w.+-]+)", re.MULTILINE)
CONFIG_FILE = "config.json"
STEMS = {
    "unet": DIFFUSERS_STEM,
    "vae": DIFFUSERS_STEM,
    "text_encoder": TRANSFORMERS_STEM,
    "text_encoder_2": TRANSFORMERS_STEM,
}
"""Folder of a network -> beginning of the names of its weights."""
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
    index = read_object(path / INDEX_FILE)
    kinds = check_classes(path / INDEX_FILE, index, replaced)
    schedule = _schedule(path / "scheduler" / SCHEDULER_FILE, kinds, solver, prediction)
    pipeline = PIPELINES[kinds["pipeline"]]
    parts = {part: stem for part, stem in STEMS.items() if part in pipeline.parts and part not in replaced}
    check_variant(path, [list_variants(path / part, stem) for part, stem in parts.items()], variant)
    unet, unet_files = read_component(path / "unet", DIFFUSERS_STEM, variant)
    vae_layout, vae_files = _read_vae(path / "vae", variant) if vae is None else (vae.layout, ())
    text = pipeline.read_text(path, variant, _zero_null(path / INDEX_FILE, index))
    config = _read_config(path, kinds, schedule, name or path.resolve().name, text, vae, size)
    return CheckpointFiles(
        config=config,
        layouts={"unet": unet, "autoencoder": vae_layout, "text_encoder": text.layout},
        open_tokenizer=text.open_tokenizer,
        files=(*_settings_files(path, text, vae is None), *unet_files, *vae_files, *text.weights),
        path=path,
        kind="diffusers",
    )


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
    text: TextFolders,
    vae: TinyDecoder | None,
    size: tuple[int | None, int | None],
) -> ModelConfig:
    """Combine the configurations of all components; raise CheckpointError when they do not fit together."""
    unet, latents = _read_unet(path / "unet" / CONFIG_FILE, kinds["pipeline"])
    if unet.guidance_width:  # a U-Net that embeds the guidance scale is evaluated once per step
        schedule = dataclasses.replace(schedule, guidance_kind="distilled")
    schedule = dataclasses.replace(schedule, guidance=PIPELINES[kinds["pipeline"]].guidance)
    autoencoder = vae.config if vae else read_autoencoder(_options(path / "vae" / CONFIG_FILE), kinds["vae"])
    height, width = _size(path / "unet" / CONFIG_FILE, latents, autoencoder.factor, size)
    try:
        return ModelConfig(
            name=name,
            licence=_licence(path / CARD_FILE),
            height=height,
            width=width,
            unet=unet,
            autoencoder=autoencoder,
            text=text.config,
            schedule=schedule,
            tokenizer=text.tokenizer,
        )
    except ConfigError as error:
        raise CheckpointError(f"{path}: expected components that fit together, got: {error}") from error


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


def _zero_null(file: Path, index: Mapping[str, Any]) -> bool:
    """Whether a missing negative prompt is zeros in SDXL's pipelines; other pipelines do not read the option."""
    value = index.get("force_zeros_for_empty_prompt", True)
    if not isinstance(value, bool):
        reason = f"force_zeros_for_empty_prompt: expected true or false, got {quoted(value)}; correct the file"
        raise CheckpointError(f"{file}: {reason}")
    return value


def _settings_files(path: Path, text: TextFolders, with_vae: bool) -> list[Path]:
    """The files besides the weights that affect the pictures."""
    configs = [path / part / CONFIG_FILE for part in ("unet", *(["vae"] if with_vae else []))]
    return [path / INDEX_FILE, path / "scheduler" / SCHEDULER_FILE, *configs, *text.settings]
