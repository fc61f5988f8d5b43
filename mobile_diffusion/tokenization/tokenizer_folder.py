"""Reads CLIP's tokenizer as transformers stores it: the `tokenizer/` folder of a diffusers checkpoint.

Vocabulary and merges come from tokenizer.json if there is one, else from vocab.json and merges.txt.  special_tokens.py
reads the special tokens.  clip_tokenizer.py builds the tokenizer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import read_object
from mobile_diffusion.tokenization.special_tokens import OLD_SETTINGS, SETTINGS, SpecialTokens, read_special_tokens

WORD_END = "</w>"
"""Suffix of every symbol at the end of a word."""
FILES = ("tokenizer.json", "vocab.json", "merges.txt", SETTINGS, OLD_SETTINGS, "added_tokens.json")
"""Every file that is read."""
UNLIMITED = 1_000_000
"""A larger model_max_length means that there is no limit."""


@dataclass(frozen=True, eq=False)
class TokenizerFiles:
    """The contents of a tokenizer folder."""

    vocabulary: dict[str, int]
    """Id of every symbol: bytes, bytes at the end of a word, merged symbols, special tokens."""
    merges: list[tuple[str, str]]
    """Pairs of symbols to merge, in order of priority."""
    special: SpecialTokens


@dataclass(frozen=True)
class FolderContents:
    """A tokenizer folder, equal to another one whose files are the same."""

    folder: Path = field(compare=False)
    digests: tuple[tuple[str, bytes], ...]
    """Name and SHA-256 of every file that is there."""

    @classmethod
    def of(cls, folder: Path) -> FolderContents:
        """Read the files that a tokenizer may have; raise CheckpointError if one cannot be read."""
        return cls(folder, tuple((name, _digest(folder / name)) for name in FILES if (folder / name).is_file()))


def _digest(file: Path) -> bytes:
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except OSError as error:
        raise CheckpointError(f"{file}: expected a file that can be read, got: {error}") from error


def read_tokenizer_folder(folder: Path) -> TokenizerFiles:
    """Read a tokenizer folder.

    Raises CheckpointError when a file is missing or malformed, when vocabulary and merges do not belong together,
    when it is not CLIP's tokenizer, when no padding token is stated, or when a setting is not supported.
    """
    file = folder / "tokenizer.json"
    definition = read_object(file) if file.is_file() else {}
    model = _checked_model(file, definition) if definition else _read_model(folder)
    special = read_special_tokens(folder, definition)
    vocabulary, merges = _vocabulary(folder, model), _merges(folder, model)
    _check_merges(folder, vocabulary, merges, {token.content for token in special.added})
    return TokenizerFiles(vocabulary, merges, special)


def stated_length(folder: Path) -> int | None:
    """The length L of a prompt in the folder's settings; None when they have none or no limit.

    Raises CheckpointError when it is not an integer of at least 3.
    """
    file = folder / SETTINGS
    length = read_object(file).get("model_max_length") if file.is_file() else None
    if length is None or (isinstance(length, int | float) and length > UNLIMITED):
        return None
    if type(length) is not int or length < 3:
        raise CheckpointError(f"{file}: expected a model_max_length of at least 3, got {quoted(length)}")
    return length


def _read_model(folder: Path) -> dict[str, Any]:
    """Read vocab.json and merges.txt into the form of "model" in a tokenizer.json."""
    for name in ("vocab.json", "merges.txt"):
        if not (folder / name).is_file():
            wanted = "tokenizer.json, or vocab.json and merges.txt"
            raise CheckpointError(f"{folder}: expected CLIP's tokenizer ({wanted}), got no {name}; restore it")
    try:
        lines = (folder / "merges.txt").read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder / 'merges.txt'}: expected text, got: {error}; fetch it again") from error
    merges = [line.removesuffix("\r") for line in lines if not line.startswith("#version")]
    return {"vocab": read_object(folder / "vocab.json"), "merges": [merge for merge in merges if merge]}


def _checked_model(file: Path, definition: dict[str, Any]) -> dict[str, Any]:
    """The "model" of a tokenizer.json; raises CheckpointError unless it is CLIP's kind of BPE."""
    model = definition.get("model")
    values = model if isinstance(model, dict) else {}
    if values.get("type", "BPE") != "BPE" or values.get("end_of_word_suffix") != WORD_END:
        got = f"{values.get('type')} with suffix {quoted(values.get('end_of_word_suffix'))}"
        raise CheckpointError(f"{file}: expected CLIP's tokenizer (BPE with suffix {quoted(WORD_END)}), got {got}")
    return values


def _vocabulary(folder: Path, model: dict[str, Any]) -> dict[str, int]:
    words = model.get("vocab")
    if isinstance(words, dict) and all(type(index) is int for index in words.values()):
        vocabulary: dict[str, int] = words
        if sorted(vocabulary.values()) == list(range(len(vocabulary))):
            return vocabulary
    raise CheckpointError(f"{folder}: expected a vocabulary with the ids 0, 1, 2, ... once each, got another")


def _merges(folder: Path, model: dict[str, Any]) -> list[tuple[str, str]]:
    """Each merge as two symbols; a tokenizer.json writes them as "a b" or as ["a", "b"]."""
    pairs = []
    for number, merge in enumerate(model.get("merges") or [], start=1):
        symbols = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(symbols, list) or len(symbols) != 2 or not all(isinstance(part, str) for part in symbols):
            raise CheckpointError(f"{folder}: expected merges of two symbols, got {quoted(merge)} as number {number}")
        pairs.append((symbols[0], symbols[1]))
    return pairs


def _check_merges(folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]], added: set[str]) -> None:
    """Raise CheckpointError unless every merge produces a symbol of the vocabulary, and every symbol is produced."""
    made = {first + second for first, second in merges}
    long = {word for word in vocabulary if len(word.removesuffix(WORD_END)) > 1} - added
    problems = {"a merge that makes no token": made - set(vocabulary), "a token that no merge makes": long - made}
    for problem, words in problems.items():
        if words:
            more = f" (and {len(words) - 1:,} more)" if len(words) > 1 else ""
            raise CheckpointError(
                f"{folder}: expected vocabulary and merges of one tokenizer, "
                f"got {problem}: {quoted(min(words))}{more}; "
                "fetch both files again"
            )
