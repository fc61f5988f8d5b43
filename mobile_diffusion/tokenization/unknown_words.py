"""Finds the words of a prompt that a tokenizer does not have, and says so.

A tokenizer replaces each of them by one token, so that every such prompt draws the same picture.  CLIP's splits text
into bytes and knows them all; BERT's has no emoji and few scripts.
"""

from __future__ import annotations

import logging

import tokenizers

logger = logging.getLogger(__name__)

SHOWN_WORDS = 5
SHOWN_CHARACTERS = 30
"""Of a word."""


def find_unknown(tokenizer: tokenizers.Tokenizer, prompt: str) -> tuple[str, ...]:
    """The unknown words in their order, each once; the whole prompt when it has characters but no token."""
    token = tokenizer.model.unk_token
    unknown = None if token is None else tokenizer.token_to_id(token)
    encoded = tokenizer.encode(prompt)
    inner = list(zip(encoded.ids, encoded.offsets, strict=True))[1:-1]  # between start and end token
    if not inner:
        return (prompt.strip(),) if prompt.strip() else ()
    words = (prompt[start:end] for index, (start, end) in inner if index == unknown)
    # CLIP's unknown token is its end token, which a prompt may contain as such.
    return tuple(dict.fromkeys(word for word in words if word.lower() != token.lower()))


def warn_unknown(name: str, words: tuple[str, ...]) -> None:
    """Log one warning that names the unknown words of a text, such as "prompt"; nothing without any."""
    if not words:
        return
    shown = ", ".join(f'"{word[:SHOWN_CHARACTERS]}"' for word in words[:SHOWN_WORDS])
    more = f" and {len(words) - SHOWN_WORDS} more" if len(words) > SHOWN_WORDS else ""
    logger.warning(
        "%s: the model does not know %s%s, which has no meaning in the picture; use other words", name, shown, more
    )
