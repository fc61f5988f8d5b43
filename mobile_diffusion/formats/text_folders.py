"""Reads text encoder and tokenizer of a diffusers folder: one of each, or the two of SDXL.

Published folders call them text_encoder/ and tokenizer/, and the second ones text_encoder_2/ and tokenizer_2/.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobile_diffusion.config import ClipPairConfig, ClipTextConfig, TextConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.component import TRANSFORMERS_STEM, read_component
from mobile_diffusion.formats.text_config import read_projected_config, read_text_config
from mobile_diffusion.tensor_layout import Layout
from mobile_diffusion.tokenization.clip_pair import ClipPairTokenizer
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from mobile_diffusion.tokenization.tokenizer import Tokenizer
from mobile_diffusion.tokenization.tokenizer_folder import stated_length

CONFIG_FILE = "config.json"
POSITIONS, PROJECTION = "embeddings.position_ids", "text_projection.weight"
FIRST, SECOND = ("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")
"""Folders of each text encoder and its tokenizer."""


@dataclass(frozen=True)
class TextFolders:
    """The text encoders of a folder, whose weights have not been read, and their tokenizers."""

    config: TextConfig
    layout: Layout
    tokenizer: str
    """Kind of tokenizer."""
    open_tokenizer: Callable[[], Tokenizer]
    settings: tuple[Path, ...]
    """The files besides the weights."""
    weights: tuple[Path, ...]


def read_one_encoder(path: Path, variant: str | None, zero_null: bool) -> TextFolders:
    """Read Stable Diffusion 1's or 2's text encoder; raise CheckpointError when it is missing or not supported.

    `zero_null` is an option of SDXL's pipelines, which has no effect here.
    """
    folder, tokenizer = (path / name for name in FIRST)
    config = _with_length(read_text_config(folder / CONFIG_FILE), tokenizer)
    layout, files = read_component(folder, TRANSFORMERS_STEM, variant)
    return TextFolders(
        config,
        our_text_layout(layout),
        "clip-bpe",
        lambda: open_clip_tokenizer(tokenizer, config),
        (folder / CONFIG_FILE, *tokenizer_files(tokenizer)),
        files,
    )


def read_two_encoders(path: Path, variant: str | None, zero_null: bool) -> TextFolders:
    """Read SDXL's two text encoders; raise CheckpointError when one is missing, not supported, or of another length.

    `zero_null` says whether a missing negative prompt is zeros.
    """
    (folder, tokenizer), (folder_2, tokenizer_2) = ([path / name for name in names] for names in (FIRST, SECOND))
    projected = read_projected_config(folder_2 / CONFIG_FILE)
    try:
        config = ClipPairConfig(
            _with_length(read_text_config(folder / CONFIG_FILE), tokenizer),
            _with_length(projected.text, tokenizer_2),
            projected.pooled_width,
            projected.end or ClipPairConfig.end,
            zero_null=zero_null,
        )
    except ConfigError as error:
        raise CheckpointError(f"{path}: expected two text encoders that fit together, got: {error}") from error
    layout, files = read_component(folder, TRANSFORMERS_STEM, variant)
    layout_2, files_2 = read_component(folder_2, TRANSFORMERS_STEM, variant)
    return TextFolders(
        config,
        pair_layout(our_text_layout(layout), our_text_layout(layout_2, projected=True)),
        "clip-bpe-pair",
        lambda: open_pair(
            config,
            open_clip_tokenizer(tokenizer, config.first),
            open_clip_tokenizer(tokenizer_2, config.second),
            tokenizer_2,
        ),
        (
            *(folder / CONFIG_FILE, folder_2 / CONFIG_FILE),
            *(*tokenizer_files(tokenizer), *tokenizer_files(tokenizer_2)),
        ),
        (*files, *files_2),
    )


def pair_layout(first: Layout, second: Layout) -> Layout:
    """The layout of a pair of encoders, under the names of their folders."""
    parts = {"text_encoder": first, "text_encoder_2": second}
    return {f"{name}.{tensor}": stored for name, layout in parts.items() for tensor, stored in layout.items()}


def open_pair(config: ClipPairConfig, first: ClipTokenizer, second: ClipTokenizer, where: Path) -> ClipPairTokenizer:
    """Join two tokenizers; raise CheckpointError when the second ends prompts with another id than its encoder."""
    if second.end != config.end:
        raise CheckpointError(
            f"{where}: expected the end token {config.end}, as text_encoder_2, got {second.end}; "
            "use the tokenizer that belongs to the checkpoint"
        )
    return ClipPairTokenizer(first, second)


def open_clip_tokenizer(folder: Path, text: ClipTextConfig) -> ClipTokenizer:
    """Open the tokenizer of a folder; raise CheckpointError when it has more tokens than the text encoder embeds."""
    tokenizer = ClipTokenizer.from_folder(folder, text.max_tokens)
    if tokenizer.vocabulary > text.vocabulary:
        raise CheckpointError(
            f"{folder}: expected at most {text.vocabulary:,} tokens, as in the text encoder, got "
            f"{tokenizer.vocabulary:,}; use the tokenizer that belongs to the checkpoint"
        )
    return tokenizer


def our_text_layout(layout: Layout, projected: bool = False) -> Layout:
    """Rename a text encoder's tensors to ours: add the prefix `text_model.` if missing, drop what is not loaded.

    That are position ids and, unless `projected`, the projection, which a CLIPTextModel does not have.
    """
    ignored = (POSITIONS,) if projected else (POSITIONS, PROJECTION)
    kept = {name: stored for name, stored in layout.items() if not name.endswith(ignored)}
    prefix = "" if any(name.startswith("text_model.") for name in kept) else "text_model."
    return {prefix + name: stored for name, stored in kept.items()}


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a tokenizer folder that affect the ids."""
    return sorted(file for file in folder.glob("*") if file.suffix in (".json", ".txt"))


def _with_length(text: ClipTextConfig, tokenizer: Path) -> ClipTextConfig:
    """The encoder with the length of prompts in the tokenizer's settings, if it is there."""
    length = stated_length(tokenizer)
    if length is None or length == text.max_tokens:
        return text
    try:
        return dataclasses.replace(text, max_tokens=length)
    except ConfigError as error:
        raise CheckpointError(f"{tokenizer}: expected a length the text encoder can take: {error}") from error
