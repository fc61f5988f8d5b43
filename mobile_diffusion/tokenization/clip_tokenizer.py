"""CLIP's byte-pair tokenizer, which Stable Diffusion uses, built on the `tokenizers` library.

It returns the same ids as transformers 5.23.  Text is normalised (NFC, one space for any run of whitespace, lower
case), split into contractions, letters, single digits and runs of other characters, and merged over UTF-8 bytes.
OpenAI's original first repairs text with ftfy (mis-decoded characters, curly quotes, ligatures, full-width forms) and
decodes HTML entities ("&amp;"); for such text its ids differ.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.tokenization.tokenizer_folder import (
    WORD_END,
    FolderContents,
    TokenizerFiles,
    read_tokenizer_folder,
)
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

WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""Matches a word; text that matches nothing, such as a space, is dropped."""


class ClipTokenizer:
    """CLIP's tokenizer, with the padding token and the added tokens of its checkpoint.

    A token `x` with companions `x_1`, `x_2`, ... (textual inversion with several vectors) expands to all of them.
    """

    def __init__(self, definition: str, max_tokens: int) -> None:
        """Build a tokenizer from the text of a `tokenizer.json` that `save` wrote.

        Raises:
            ConfigError: `max_tokens` leaves no room for a word between start and end token.
            CheckpointError: `definition` is not a CLIP tokenizer, or has no padding token.
        """
        check_max_tokens(max_tokens)
        self.max_tokens = max_tokens
        self._definition = definition
        self._tokenizer = parse_clip(definition)
        ends = _state(self._tokenizer.post_processor)
        self._start: int = ends["cls"][1]
        self._end: int = ends["sep"][1]
        self._padding = padding_id(self._tokenizer)
        self._companions = companions(self._tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @classmethod
    def from_file(cls, path: Path, max_tokens: int) -> ClipTokenizer:
        """Open a `tokenizer.json` that `save` wrote; raise CheckpointError when it is missing or not valid."""
        try:
            return cls(read_definition(path), max_tokens)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    @classmethod
    def from_folder(cls, folder: Path, max_tokens: int) -> ClipTokenizer:
        """Open the tokenizer folder of a diffusers checkpoint: vocab.json and merges.txt, or tokenizer.json.

        A folder with the same contents gives the same object: building one takes half a second, and many checkpoints
        have CLIP's own.

        Raises CheckpointError when a file is missing or malformed, when the files do not belong together, when it is
        not CLIP's tokenizer, or when no file states the padding token.
        """
        return _open(FolderContents.of(folder), max_tokens)

    @property
    def end(self) -> int:
        """Id of the token that ends a prompt."""
        return self._end

    @property
    def vocabulary(self) -> int:
        """Number of ids, added tokens included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, prompt: str) -> Tokens:
        """Encode the prompt as exactly `max_tokens` tokens.

        A prompt that is too long is truncated but keeps its end token, and a warning is logged.  The empty prompt,
        only start and end token, is the null condition.

        Raises:
            PromptError: the prompt is not text (NUL bytes, lone surrogates) or has over a million characters.
        """
        check_prompt(prompt)
        ids = self._expanded(self._tokenizer.encode(prompt).ids)
        return fit(ids, self.max_tokens, self._end, self._padding)

    @property
    def parts(self) -> tuple[ClipTokenizer]:
        """Itself, for its one text encoder."""
        return (self,)

    def words(self, text: str) -> list[int]:
        """All ids of a text, without start and end token."""
        return self._expanded(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def window(self, ids: Sequence[int]) -> Tokens:
        """Ids between start and end token, padded."""
        return framed(ids, self.max_tokens, (self._start, self._end), self._padding)

    def _expanded(self, ids: Sequence[int]) -> list[int]:
        return [part for index in ids for part in (index, *self._companions.get(index, ()))]

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """The words of a prompt that the vocabulary does not have, each once."""
        return find_unknown(self._tokenizer, prompt)

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json`, including its padding section."""
        path.write_bytes(self._definition.encode("utf-8"))

    def with_tokens(self, tokens: Sequence[str]) -> ClipTokenizer:
        """Return a copy with more tokens, which are found anywhere in a prompt and get the next free ids.

        Raises CheckpointError when the vocabulary already has one of them, or a companion of one.
        """
        tokenizer = parse_clip(self._definition)
        known = tokenizer.get_vocab()
        for token in tokens:
            if not token.strip() or token in known or f"{token}_1" in known:
                raise CheckpointError(
                    f"expected a token that the tokenizer does not have, got {quoted(token)}; rename it"
                )
        tokenizer.add_tokens(list(tokens))
        return ClipTokenizer(tokenizer.to_str(), self.max_tokens)


@lru_cache(maxsize=4)
def _open(contents: FolderContents, max_tokens: int) -> ClipTokenizer:
    files = read_tokenizer_folder(contents.folder)
    try:
        return ClipTokenizer(define(files), max_tokens)
    except CheckpointError as error:
        raise CheckpointError(f"{contents.folder}: {error}") from error


def define(files: TokenizerFiles) -> str:
    """Build the text of a `tokenizer.json` from a tokenizer folder; raise CheckpointError when its parts differ."""
    special = files.special
    tokenizer = Tokenizer(_model(files))
    tokenizer.normalizer, tokenizer.pre_tokenizer = _normalizer(), _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(list(special.added))
    for token, stated in special.ids.items():
        if tokenizer.token_to_id(token) != stated:
            raise CheckpointError(
                f"expected id {stated} for the added token {quoted(token)}: its file is another model's"
            )
    end, start = ((token, _known_id(tokenizer, token)) for token in (special.end, special.start))
    tokenizer.post_processor = processors.RobertaProcessing(end, start, trim_offsets=False, add_prefix_space=False)
    tokenizer.enable_padding(pad_id=_known_id(tokenizer, special.padding), pad_token=special.padding)
    return tokenizer.to_str()


def parse_clip(definition: str) -> Tokenizer:
    """Parse the text of a `tokenizer.json` that `save` wrote; raise CheckpointError when it is not CLIP's."""
    tokenizer = parse_definition(definition)
    suffix = getattr(tokenizer.model, "end_of_word_suffix", None)
    if not isinstance(tokenizer.model, models.BPE) or suffix != WORD_END:
        got = f"{type(tokenizer.model).__name__} with suffix {quoted(suffix)}"
        raise CheckpointError(f"expected CLIP's tokenizer (BPE with suffix {quoted(WORD_END)}), got {got}")
    parts = {
        "normalizer": (tokenizer.normalizer, _state(_normalizer())),
        "pre_tokenizer": (tokenizer.pre_tokenizer, _state(_pre_tokenizer())),
    }
    for name, (found, expected) in parts.items():
        if found is None or _state(found) != expected:
            raise CheckpointError(f"expected CLIP's {name}, got another; open the folder that it was exported from")
    if not isinstance(tokenizer.post_processor, processors.RobertaProcessing):
        raise CheckpointError("expected CLIP's post_processor (RobertaProcessing), got another")
    return tokenizer


def padding_id(tokenizer: Tokenizer) -> int:
    """The id in the padding section; raises CheckpointError when it is missing or is not the id of its token."""
    padding = tokenizer.padding
    if padding is None or tokenizer.token_to_id(padding["pad_token"]) != padding["pad_id"]:
        raise CheckpointError("expected a padding section with a token of the vocabulary and its id, got none")
    return int(padding["pad_id"])


def companions(tokenizer: Tokenizer) -> dict[int, tuple[int, ...]]:
    """Id of an added token `x` -> ids of the added tokens `x_1`, `x_2`, ..., for tokens that have any."""
    ids = {token.content: index for index, token in tokenizer.get_added_tokens_decoder().items()}
    found = {}
    for token, index in ids.items():
        following: list[int] = []
        while (name := f"{token}_{len(following) + 1}") in ids:
            following.append(ids[name])
        if following:
            found[index] = tuple(following)
    return found


def _model(files: TokenizerFiles) -> models.Model:
    settings = {"unk_token": files.special.unknown, "continuing_subword_prefix": "", "end_of_word_suffix": WORD_END}
    try:
        return models.BPE(vocab=files.vocabulary, merges=files.merges, **settings)
    except Exception as error:  # the library raises bare Exception for a merge of unknown symbols
        raise CheckpointError(f"expected vocabulary and merges of one tokenizer, got: {error}") from error


def _normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True)
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])


def _known_id(tokenizer: Tokenizer, token: str) -> int:
    index = tokenizer.token_to_id(token)
    if index is None:
        raise CheckpointError(f"expected the special token {quoted(token)} in the vocabulary, got none")
    return int(index)


def _state(component: Any) -> Any:
    """The JSON value of a tokenizer's component."""
    return json.loads(component.__getstate__())
