"""A prompt becomes a fixed number of token ids.

The `tokenizers` library does the splitting; this module decides what a prompt may be and how it is made to
fit: padded to the model's length, or cut to it with a warning and its end token kept.  The empty prompt is
a prompt too, and is the null condition of classifier-free guidance.  What the ids mean to the model is in
`text_encoder.py`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import tokenizers

from mobile_diffusion.errors import CheckpointError, ConfigError, PromptError

logger = logging.getLogger(__name__)

MAX_CHARACTERS = 1_000_000
"""A longer prompt is refused: it is a file given by mistake, and splitting it would take seconds."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """A prompt as the text encoder reads it."""

    ids: np.ndarray
    """(L,) int32: start token, words, end token, padding."""

    mask: np.ndarray
    """(L,) int32: 1 where `ids` holds a token, 0 where it holds padding."""


class Tokenizer(Protocol):
    """What the pipeline needs of a tokenizer."""

    @property
    def max_tokens(self) -> int:
        """L, the length of every encoded prompt."""

    def encode(self, prompt: str) -> Tokens:
        """The prompt in exactly L tokens; raises PromptError when it cannot be read."""

    def save(self, path: Path) -> None:
        """Write the file that this tokenizer was opened from."""


class WordPieceTokenizer:
    """BERT's tokenizer: lower case, accents stripped, words split greedily into pieces of its vocabulary."""

    def __init__(self, definition: str, max_tokens: int) -> None:
        """Build one from the text of a `tokenizer.json`.

        Raises:
            ConfigError: `max_tokens` leaves no room for a word between start and end token.
            CheckpointError: `definition` is not a WordPiece tokenizer.
        """
        if max_tokens < 3:
            raise ConfigError(f"expected max_tokens of at least 3 (start, a word, end), got {max_tokens}")
        self.max_tokens = max_tokens
        self._definition = definition
        self._tokenizer = parse_wordpiece(definition)
        self._end = special_token(self._tokenizer, "[SEP]")
        self._padding = special_token(self._tokenizer, "[PAD]")

    @classmethod
    def from_file(cls, path: Path, max_tokens: int) -> WordPieceTokenizer:
        """Open a `tokenizer.json`; raises CheckpointError when it is missing or is not one."""
        try:
            return cls(path.read_bytes().decode("utf-8"), max_tokens)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "bytes that are not UTF-8"
            raise CheckpointError(f"expected a tokenizer in {path}, got: {reason}; copy it anew") from error
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    def encode(self, prompt: str) -> Tokens:
        """The prompt in exactly `max_tokens` tokens.

        A longer one is cut, its end token kept, and one warning logged.  The empty prompt is the null
        condition: start and end token only.

        Raises:
            PromptError: the prompt is not text (NUL bytes, lone surrogates) or has over a million characters.
        """
        check_prompt(prompt)
        ids = self._tokenizer.encode(prompt).ids
        if len(ids) > self.max_tokens:
            logger.warning(
                "the prompt has %d tokens and the model reads %d: its end is ignored; shorten it",
                len(ids),
                self.max_tokens,
            )
            ids = [*ids[: self.max_tokens - 1], self._end]
        return pad(ids, self.max_tokens, self._padding)

    def save(self, path: Path) -> None:
        """Write the `tokenizer.json` this tokenizer was built from, byte for byte."""
        path.write_bytes(self._definition.encode("utf-8"))


def check_prompt(prompt: str) -> None:
    """Raise PromptError unless `prompt` is text that every tokenizer of every language reads alike."""
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


def parse_wordpiece(definition: str) -> tokenizers.Tokenizer:
    """The tokenizer a `tokenizer.json` describes, without the padding and truncation it may carry."""
    try:
        tokenizer = tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # the library raises bare Exception for any malformed definition
        raise CheckpointError(f"expected a tokenizers definition in JSON, got: {error}") from error
    if not isinstance(tokenizer.model, tokenizers.models.WordPiece):
        raise CheckpointError(f"expected a WordPiece tokenizer, got {type(tokenizer.model).__name__}")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def special_token(tokenizer: tokenizers.Tokenizer, token: str) -> int:
    """The id of a token that the vocabulary must have."""
    identifier = tokenizer.token_to_id(token)
    if identifier is None:
        raise CheckpointError(f"expected the token {token} in the tokenizer's vocabulary, got none")
    return identifier


def pad(ids: list[int], length: int, padding: int) -> Tokens:
    """At most `length` ids -> Tokens of exactly that length."""
    padded = np.full(length, padding, dtype=np.int32)
    padded[: len(ids)] = ids
    return Tokens(ids=padded, mask=(np.arange(length) < len(ids)).astype(np.int32))
