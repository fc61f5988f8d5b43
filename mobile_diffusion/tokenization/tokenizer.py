"""Converts a prompt to a fixed number of token ids: the interface of a tokenizer, and the kinds that exist.

wordpiece.py and clip_tokenizer.py split text with the `tokenizers` library.  tokens.py checks prompts, and pads or
truncates their ids.  The empty prompt is valid: it is the null condition of classifier-free guidance.  The network
that reads the ids is in text_encoder.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.tokenization.clip_pair import SECOND_FILE, ClipPairTokenizer
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from mobile_diffusion.tokenization.tokens import MAX_CHARACTERS, Tokens, check_prompt
from mobile_diffusion.tokenization.wordpiece import WordPieceTokenizer

__all__ = [
    "MAX_CHARACTERS",
    "PAIR",
    "TOKENIZERS",
    "ClipPairTokenizer",
    "ClipTokenizer",
    "Tokenizer",
    "Tokens",
    "WordPieceTokenizer",
    "WordTokenizer",
    "check_prompt",
    "open_tokenizer",
    "tokenizer_files",
]

TOKENIZER_FILE = "tokenizer.json"
PAIR = "clip-bpe-pair"
"""Kind of SDXL's two tokenizers."""


class WordTokenizer(Protocol):
    """The tokenizer of one text encoder, by pieces of a prompt."""

    @property
    def max_tokens(self) -> int:
        """L, the length of every window."""

    def words(self, text: str) -> list[int]:
        """All ids of a text, without start and end token."""

    def window(self, ids: Sequence[int]) -> Tokens:
        """At most L - 2 ids between start and end token, padded to L."""


class Tokenizer(Protocol):
    """The methods that the pipeline needs of a tokenizer."""

    @property
    def max_tokens(self) -> int:
        """L, the length of every encoded prompt."""

    def encode(self, prompt: str) -> Tokens:
        """Encode the prompt as exactly L tokens; raise PromptError when it is not valid text."""

    @property
    def parts(self) -> tuple[WordTokenizer, ...]:
        """The tokenizer of each text encoder."""

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """The words of a prompt that the vocabulary does not have, each once."""

    def save(self, path: Path) -> None:
        """Write the file that `open_tokenizer` opens, and the others of `tokenizer_files` beside it."""


TOKENIZERS: dict[str, Callable[[Path, int], Tokenizer]] = {
    "wordpiece": WordPieceTokenizer.from_file,
    "clip-bpe": ClipTokenizer.from_file,
    PAIR: ClipPairTokenizer.from_file,
}
"""Kind -> the function that opens its `tokenizer.json`; it takes the path and L."""


def tokenizer_files(kind: str) -> tuple[str, ...]:
    """The names of the files that a tokenizer of a kind is saved in."""
    return (TOKENIZER_FILE, SECOND_FILE) if kind == PAIR else (TOKENIZER_FILE,)


def open_tokenizer(kind: str, file: Path, max_tokens: int) -> Tokenizer:
    """Open a saved tokenizer; `max_tokens` is L.

    Raises ConfigError for a kind that is not in TOKENIZERS, CheckpointError when the file is not of that kind.
    """
    if kind not in TOKENIZERS:
        kinds = ", ".join(TOKENIZERS)
        raise ConfigError(f"{file}: expected a tokenizer whose kind is one of {kinds}, got {quoted(kind)}")
    return TOKENIZERS[kind](file, max_tokens)
