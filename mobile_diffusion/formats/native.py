"""Reads our own format: a folder with model.json, three safetensors files and tokenizer.json (SDXL: and a second).

A model that was trained on named styles also has styles.json, a list of their names.  It is no part of the hash, since
two models that differ in it alone compute the same.  The names of tensors are those of diffusers and transformers.
checkpoint.py writes such folders.
"""

from __future__ import annotations

import json
from pathlib import Path

from mobile_diffusion.config import ModelConfig
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.checkpoint_files import PARTS, CheckpointFiles
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import parse_strictly
from mobile_diffusion.tokenization.clip_pair import SECOND_FILE
from mobile_diffusion.tokenization.tokenizer import TOKENIZER_FILE as TOKENIZER_FILE
from mobile_diffusion.tokenization.tokenizer import open_tokenizer, tokenizer_files
from mobile_diffusion.weights import read_weights_layout, refuse_pickle

FORMAT = 2
"""Version of the folder's layout, the "format" of model.json."""
MODEL_FILE = "model.json"
STYLES_FILE = "styles.json"
WEIGHTS = tuple(f"{part}.safetensors" for part in PARTS)
FILES = (MODEL_FILE, STYLES_FILE, TOKENIZER_FILE, SECOND_FILE, *WEIGHTS)
"""Every file that a folder may have; the last tokenizer is SDXL's."""


def read_native(path: Path) -> CheckpointFiles:
    """Read a checkpoint folder without its weights; raise CheckpointError when a file is missing or damaged."""
    config = read_config(path)
    return CheckpointFiles(
        config=config,
        layouts={part: read_weights_layout(path / f"{part}.safetensors") for part in PARTS},
        open_tokenizer=lambda: open_tokenizer(config.tokenizer, path / TOKENIZER_FILE, config.text.max_tokens),
        files=tuple(path / name for name in sorted((MODEL_FILE, *WEIGHTS, *tokenizer_files(config.tokenizer)))),
        path=path,
        kind="mobile-diffusion",
    )


def read_config(path: Path) -> ModelConfig:
    """Read a checkpoint folder's model.json; raise CheckpointError when it is missing or not valid."""
    file = path / MODEL_FILE
    try:
        _check_folder(path)
        values = parse_strictly(file.read_bytes())
        if not isinstance(values, dict) or type(values.get("format")) is not int:
            raise CheckpointError(f'{file}: expected an object with an integer "format", got another; check the path')
        if values["format"] != FORMAT:
            raise CheckpointError(
                f"{file}: expected format {FORMAT}, got {shortened(values['format'])}; update mobile-diffusion"
            )
        config = from_dict(ModelConfig, {name: value for name, value in values.items() if name != "format"})
    except (OSError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{file}: expected a model's configuration, got: {error}") from error
    return _with_styles(config, path / STYLES_FILE)


def write_config(config: ModelConfig, path: Path) -> None:
    """Write a checkpoint folder's model.json, and styles.json for a model with styles."""
    values = {name: value for name, value in to_dict(config).items() if name not in ("styles", "controls", "adapters")}
    text = json.dumps({"format": FORMAT, **values}, indent=2, allow_nan=False)
    (path / MODEL_FILE).write_text(text + "\n", encoding="utf-8")
    if config.styles:
        (path / STYLES_FILE).write_text(json.dumps(config.styles) + "\n", encoding="utf-8")


def _with_styles(config: ModelConfig, file: Path) -> ModelConfig:
    """The configuration with the styles of styles.json, if the folder has one."""
    if not file.is_file():
        return config
    try:
        return from_dict(ModelConfig, {**to_dict(config), "styles": parse_strictly(file.read_bytes())})
    except (OSError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{file}: expected a list of names, got: {error}; correct or remove it") from error


def _check_folder(path: Path) -> None:
    """Raise CheckpointError unless `path` is a folder with a model.json."""
    if not path.exists():
        raise CheckpointError(f"{path}: expected a checkpoint folder, got nothing there; check the path")
    if path.is_file():
        refuse_pickle(path)
        raise CheckpointError(f"{path}: expected a checkpoint folder, got a file; give the folder it is in")
    if not (path / MODEL_FILE).is_file():
        for file in sorted(path.iterdir()):
            refuse_pickle(file)
        raise CheckpointError(f"{path}: expected a checkpoint folder, got one without {MODEL_FILE}")
