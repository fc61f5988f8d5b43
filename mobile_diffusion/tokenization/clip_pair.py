"""SDXL's two tokenizers: CLIP's words for both text encoders, each with its own padding and added tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from mobile_diffusion.tokenization.tokens import Tokens

SECOND_FILE = "tokenizer_2.json"
"""File of the second tokenizer, beside the first's `tokenizer.json`."""


@dataclass(frozen=True, eq=False)
class ClipPairTokenizer:
    """The tokenizers of both text encoders, which read the same prompt."""

    first: ClipTokenizer
    second: ClipTokenizer

    @classmethod
    def from_file(cls, path: Path, max_tokens: int) -> ClipPairTokenizer:
        """Open the `tokenizer.json` that `save` wrote, and its second; raise CheckpointError as ClipTokenizer does."""
        first, second = (ClipTokenizer.from_file(file, max_tokens) for file in (path, path.with_name(SECOND_FILE)))
        return cls(first, second)

    @property
    def max_tokens(self) -> int:
        """L, the length of every encoded prompt."""
        return self.first.max_tokens

    @property
    def vocabulary(self) -> int:
        """Number of ids of either tokenizer, added tokens included."""
        return self.first.vocabulary

    def encode(self, prompt: str) -> Tokens:
        """Encode the prompt once per text encoder, as ids and mask (2, L); raise PromptError as ClipTokenizer does."""
        both = [tokenizer.encode(prompt) for tokenizer in (self.first, self.second)]
        ids, mask = (np.stack([getattr(tokens, name) for tokens in both]) for name in ("ids", "mask"))
        return Tokens(ids, mask, any(tokens.cut for tokens in both))

    @property
    def parts(self) -> tuple[ClipTokenizer, ClipTokenizer]:
        """The tokenizer of each text encoder."""
        return self.first, self.second

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """The words of a prompt that the vocabulary does not have, each once."""
        return self.first.unknown_words(prompt)

    def save(self, path: Path) -> None:
        """Write the first tokenizer's file and, beside it, the second's."""
        self.first.save(path)
        self.second.save(path.with_name(SECOND_FILE))

    def with_tokens(self, tokens: Sequence[str]) -> ClipPairTokenizer:
        """Return a copy with more tokens in both; raise CheckpointError as ClipTokenizer does."""
        return ClipPairTokenizer(self.first.with_tokens(tokens), self.second.with_tokens(tokens))
