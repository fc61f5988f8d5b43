"""A prompt becomes a fixed number of token ids: what the pipeline asks of a tokenizer, and which kinds there are.

The `tokenizers` library does the splitting (wordpiece.py, clip_tokenizer.py); what a prompt may be and how its
ids are made to fit is in tokens.py.  The empty prompt is a prompt too, and is the null condition of
classifier-free guidance.  What the ids mean to the model is in text_encoder.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from mobile_diffusion.tokenization.tokens import MAX_CHARACTERS, Tokens, check_prompt
from mobile_diffusion.tokenization.wordpiece import WordPieceTokenizer

__all__ = [
    "MAX_CHARACTERS",
    "TOKENIZERS",
    "ClipTokenizer",
    "Tokenizer",
    "Tokens",
    "WordPieceTokenizer",
    "check_prompt",
    "open_tokenizer",
]


class Tokenizer(Protocol):
    """What the pipeline needs of a tokenizer."""

    @property
    def max_tokens(self) -> int:
        """L, the length of every encoded prompt."""

    def encode(self, prompt: str) -> Tokens:
        """The prompt in exactly L tokens; raises PromptError when it cannot be read."""

    def save(self, path: Path) -> None:
        """Write the file that `open_tokenizer` opens."""


TOKENIZERS: dict[str, Callable[[Path, int], Tokenizer]] = {
    "wordpiece": WordPieceTokenizer.from_file,
    "clip-bpe": ClipTokenizer.from_file,
}
"""How to open the `tokenizer.json` of each kind: path and L."""


def open_tokenizer(kind: str, file: Path, max_tokens: int) -> Tokenizer:
    """Open a saved tokenizer of a named kind.

    Raises ConfigError for a kind that is not in TOKENIZERS, CheckpointError when the file is not such a tokenizer.
    """
    if kind not in TOKENIZERS:
        raise ConfigError(f"{file}: expected a tokenizer of kind {' or '.join(TOKENIZERS)}, got {kind!r}")
    return TOKENIZERS[kind](file, max_tokens)
