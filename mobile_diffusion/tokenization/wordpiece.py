"""BERT's WordPiece tokenizer, which the emoji model uses, built on the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tokenizers

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.tokenization.tokens import (
    Tokens,
    check_max_tokens,
    check_prompt,
    fit,
    framed,
    parse_definition,
    read_definition,
)
from mobile_diffusion.tokenization.unknown_words import find_unknown


class WordPieceTokenizer:
    """BERT's tokenizer: lower case, accents stripped, words split greedily into pieces of its vocabulary."""

    def __init__(self, definition: str, max_tokens: int) -> None:
        """Build a tokenizer from the text of a `tokenizer.json`.

        Raises:
            ConfigError: `max_tokens` leaves no room for a word between start and end token.
            CheckpointError: `definition` is not a WordPiece tokenizer.
        """
        check_max_tokens(max_tokens)
        self.max_tokens = max_tokens
        self._definition = definition
        self._tokenizer = parse_wordpiece(definition)
        self._end = special_token(self._tokenizer, "[SEP]")
        self._padding = special_token(self._tokenizer, "[PAD]")
        self._start = special_token(self._tokenizer, "[CLS]")

    @classmethod
    def from_file(cls, path: Path, max_tokens: int) -> WordPieceTokenizer:
        """Open a `tokenizer.json`; raise CheckpointError when it is missing or not valid."""
        try:
            return cls(read_definition(path), max_tokens)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    def encode(self, prompt: str) -> Tokens:
        """Encode the prompt as exactly `max_tokens` tokens.

        A prompt that is too long is truncated but keeps its end token, and a warning is logged.  The empty prompt,
        only start and end token, is the null condition.

        Raises:
            PromptError: the prompt is not text (NUL bytes, lone surrogates) or has over a million characters.
        """
        check_prompt(prompt)
        return fit(self._tokenizer.encode(prompt).ids, self.max_tokens, self._end, self._padding)

    @property
    def parts(self) -> tuple[WordPieceTokenizer]:
        """Itself, for its one text encoder."""
        return (self,)

    def words(self, text: str) -> list[int]:
        """All ids of a text, without start and end token."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def window(self, ids: Sequence[int]) -> Tokens:
        """Ids between start and end token, padded."""
        return framed(ids, self.max_tokens, (self._start, self._end), self._padding)

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """The words of a prompt that the vocabulary does not have, each once."""
        return find_unknown(self._tokenizer, prompt)

    def save(self, path: Path) -> None:
        """Write the `tokenizer.json` that this tokenizer was built from, byte for byte."""
        path.write_bytes(self._definition.encode("utf-8"))


def parse_wordpiece(definition: str) -> tokenizers.Tokenizer:
    """Build a tokenizer from the text of a `tokenizer.json`, without its padding and truncation.

    Raises CheckpointError when the text is not a WordPiece tokenizer.
    """
    tokenizer = parse_definition(definition)
    if not isinstance(tokenizer.model, tokenizers.models.WordPiece):
        raise CheckpointError(f"expected a WordPiece tokenizer, got {type(tokenizer.model).__name__}")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def special_token(tokenizer: tokenizers.Tokenizer, token: str) -> int:
    """The id of a special token; raises CheckpointError when the vocabulary does not have it."""
    identifier = tokenizer.token_to_id(token)
    if identifier is None:
        raise CheckpointError(f"expected the token {token} in the tokenizer's vocabulary, got none")
    return identifier
