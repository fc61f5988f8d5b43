"""What all tokenizers share: checking prompts, padding and truncating ids, opening the tokenizer's file.

A prompt is any text that Python, Swift, Kotlin and C++ read the same way.  Its ids are padded to the model's length,
or truncated with a warning; the end token is kept.  wordpiece.py and clip_tokenizer.py convert text to ids.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers

from mobile_diffusion.errors import CheckpointError, ConfigError, PromptError
from mobile_diffusion.quoting import shortened

logger = logging.getLogger(__name__)

MAX_CHARACTERS = 1_000_000
"""A longer prompt is an error: it is probably a file passed by mistake, and splitting it would take seconds."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """A prompt as the text encoder reads it."""

    ids: np.ndarray
    """(L,) int32: start token, words, end token, padding; (2, L) for two text encoders."""

    mask: np.ndarray
    """int32 of the same shape: 1 where `ids` holds a token, 0 where it holds padding."""

    cut: bool = False
    """Whether the end of the prompt did not fit."""


def check_max_tokens(max_tokens: int) -> None:
    """Raise ConfigError when there is no room for a word between start and end token."""
    if max_tokens < 3:
        raise ConfigError(f"expected max_tokens of at least 3 (start, a word, end), got {max_tokens}")


def check_prompt(prompt: str) -> None:
    """Raise PromptError unless `prompt` is text that the tokenizers of all programming languages read the same way."""
    if len(prompt) > MAX_CHARACTERS:
        raise PromptError(
            f"expected a prompt of at most {MAX_CHARACTERS:,} characters, got {len(prompt):,}: shorten it"
        )
    if "\0" in prompt:
        raise PromptError(
            f"expected a prompt without NUL bytes, got one at character {prompt.index(chr(0))}: remove it"
        )
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PromptError(
            f"expected a prompt of valid Unicode, got the lone surrogate U+{ord(prompt[error.start]):04X} "
            f"at character {error.start}: encode the prompt as UTF-8"
        ) from error


def fit(ids: list[int], length: int, end: int, padding: int) -> Tokens:
    """Pad or truncate the ids of a prompt to exactly `length`.

    When ids are truncated, the last one that remains is replaced by the end token, and a warning is logged.
    """
    cut = len(ids) > length
    if cut:
        logger.warning(
            "the prompt has %d tokens and the model reads %d: its end is ignored; shorten it", len(ids), length
        )
        ids = [*ids[: length - 1], end]
    padded = np.full(length, padding, dtype=np.int32)
    padded[: len(ids)] = ids
    return Tokens(ids=padded, mask=(np.arange(length) < len(ids)).astype(np.int32), cut=cut)


def framed(ids: Sequence[int], length: int, ends: tuple[int, int], padding: int) -> Tokens:
    """Ids without start and end token as tokens of that `length`; `ends` are those two."""
    return fit([ends[0], *ids, ends[1]], length, ends[1], padding)


def read_definition(path: Path) -> str:
    """Read the text of a `tokenizer.json`; raise CheckpointError when it is missing or not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "bytes that are not UTF-8"
        raise CheckpointError(f"expected a tokenizer's definition, got: {reason}; copy it again") from error


def parse_definition(definition: str) -> tokenizers.Tokenizer:
    """Build a tokenizer from the text of a `tokenizer.json`; raise CheckpointError when the text is not valid."""
    try:
        return tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # the library raises bare Exception for any malformed definition
        raise CheckpointError(f"expected a tokenizers definition in JSON, got: {shortened(error)}") from error
