"""Reads which tokens of a transformers tokenizer folder are special, and which one is the padding token.

Three generations of files contain this: special_tokens_map.json and added_tokens.json (the oldest), "added_tokens" in
tokenizer.json, and "added_tokens_decoder" in tokenizer_config.json.  One overrides another in the same order as in
transformers 5.23.  The order affects ids: it decides whether "!" in a prompt is Stable Diffusion 2's padding token or
a word, and whether "<|ENDOFTEXT|>" ends the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import read_object

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Names of special tokens, in the order in which transformers adds them."""
DEFAULTS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
"""Transformers' defaults for a CLIP folder.  The padding token has no default here."""
FIXED = {
    "padding_side": "right",
    "truncation_side": "right",
    "split_special_tokens": False,
    "add_bos_token": True,
    "add_eos_token": True,
}
"""Settings that affect the ids, and the only supported value of each."""
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
SPECIFIC = "model_specific_special_tokens"
"""Where transformers 5 repeats the tokens that `extra_special_tokens` gave a name."""
SETTINGS = "tokenizer_config.json"
OLD_SETTINGS = "special_tokens_map.json"

Token = str | AddedToken


@dataclass(frozen=True, eq=False)
class SpecialTokens:
    """The special tokens of a folder, after all its files have been read."""

    start: str
    end: str
    unknown: str
    padding: str
    added: tuple[AddedToken, ...]
    """Tokens that are matched in the text before it is split, in the order in which they are added."""
    ids: dict[str, int]
    """Ids in the files of tokens of `added`."""


def read_special_tokens(folder: Path, definition: dict[str, Any]) -> SpecialTokens:
    """Read the special tokens of a folder; `definition` is the content of its tokenizer.json, empty without one.

    Raises CheckpointError when a file is malformed, a setting is not supported, or no file states the padding token.
    """
    settings = _optional(folder / SETTINGS)
    _check_fixed(folder / SETTINGS, settings)
    if "added_tokens_decoder" in settings:
        decoder = _decoder(folder / SETTINGS, settings["added_tokens_decoder"])
    else:
        settings |= _read_old_settings(folder / OLD_SETTINGS)
        decoder = _read_old_tokens(folder / "added_tokens.json", settings) | _defined(folder, definition)
    known = {token.content: token for token in decoder.values()}
    stated = {name: _token(folder / SETTINGS, settings[name]) for name in NAMES if settings.get(name)}
    named: dict[str, Token] = {**DEFAULTS}
    named.update({name: known.get(_content(token), token) for name, token in stated.items()})
    if "pad_token" not in named:
        named["pad_token"] = _defined_padding(folder, definition)
    extra = _extra(folder / SETTINGS, settings)
    return SpecialTokens(
        start=_content(named["bos_token"]),
        end=_content(named["eos_token"]),
        unknown=_content(named["unk_token"]),
        padding=_content(named["pad_token"]),
        added=_in_order(decoder, named, [_token(folder / SETTINGS, token) for token in extra]),
        ids={token.content: index for index, token in decoder.items()},
    )


def _check_fixed(file: Path, settings: dict[str, Any]) -> None:
    """Raise CheckpointError for the first setting that affects the ids and is not supported."""
    for name, value in FIXED.items():
        if settings.get(name, value) != value:
            raise CheckpointError(
                f"{file}: {name}: expected {quoted(value)}, got {quoted(settings[name])}, which is not supported"
            )
    stated = settings.get(SPECIFIC)
    own = NAMES if not isinstance(stated, dict) else {*NAMES, *stated}
    for name, value in settings.items():
        if name.endswith("_token") and name not in own and isinstance(value, str):
            raise CheckpointError(f"{file}: {name}: expected no such special token, got {quoted(value)}")


def _extra(file: Path, settings: dict[str, Any]) -> list[object]:
    """Special tokens besides those of NAMES: a list, or since transformers 4.47 an object of names and tokens."""
    found: list[object] = []
    for name in (SPECIFIC, "extra_special_tokens", "additional_special_tokens"):
        tokens = settings.get(name) or []
        if not isinstance(tokens, list | dict):
            raise CheckpointError(f"{file}: {name}: expected a list or an object of tokens, got {quoted(tokens)}")
        found += tokens.values() if isinstance(tokens, dict) else tokens
    return found


def _read_old_settings(file: Path) -> dict[str, Any]:
    """Read the special tokens by name; a token with flags is always special."""
    values = _optional(file)
    return {name: {**value, "special": True} if isinstance(value, dict) else value for name, value in values.items()}


def _read_old_tokens(file: Path, settings: dict[str, Any]) -> dict[int, AddedToken]:
    """Read the added tokens, which are stored without flags; a token is special if it has a name in `settings`."""
    named = {_content(_token(file, settings[name])) for name in NAMES if settings.get(name)}
    flags = {True: {"normalized": False, "special": True}, False: {"normalized": True, "special": False}}
    return _decoder(
        file, {index: {"content": token, **flags[token in named]} for token, index in _optional(file).items()}
    )


def _defined(folder: Path, definition: dict[str, Any]) -> dict[int, AddedToken]:
    """The added tokens of a tokenizer.json."""
    file, tokens = folder / "tokenizer.json", definition.get("added_tokens") or []
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        raise CheckpointError(f"{file}: added_tokens: expected a list of objects, got {quoted(tokens)}")
    return _decoder(file, {token.get("id"): token for token in tokens})


def _defined_padding(folder: Path, definition: dict[str, Any]) -> str:
    padding = definition.get("padding")
    token = padding.get("pad_token") if isinstance(padding, dict) else None
    if not isinstance(token, str):
        raise CheckpointError(
            f"{folder}: expected pad_token in {SETTINGS}, {OLD_SETTINGS} or the padding of tokenizer.json, got none: "
            'copy those files too, or add it ("<|endoftext|>" in Stable Diffusion 1, "!" in 2)'
        )
    return token


def _decoder(file: Path, values: Any) -> dict[int, AddedToken]:
    """Added tokens by id."""
    if not isinstance(values, dict) or not all(str(index).isdecimal() for index in values):
        raise CheckpointError(f"{file}: expected added tokens by id, got {quoted(values)}")
    tokens = {int(index): _token(file, value) for index, value in values.items()}
    return {index: AddedToken(token) if isinstance(token, str) else token for index, token in tokens.items()}


def _token(file: Path, value: Any) -> Token:
    """Read a stored token: its text, or an object with its text and flags."""
    flags = {name: value[name] for name in FLAGS if name in value} if isinstance(value, dict) else {}
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str) or not content or not all(isinstance(flag, bool) for flag in flags.values()):
        raise CheckpointError(f"{file}: expected a token's text, or its text and flags, got {quoted(value)}")
    return AddedToken(content, **flags) if isinstance(value, dict) else content


def _content(token: Token) -> str:
    return token if isinstance(token, str) else token.content


def _in_order(decoder: dict[int, AddedToken], named: dict[str, Token], extra: list[Token]) -> tuple[AddedToken, ...]:
    """The tokens to add: those with ids, then those with names, then others; the last of equal texts wins."""
    tokens: list[Token] = [token for _, token in sorted(decoder.items())]
    known = {_content(token) for token in tokens}
    for token in (*(named[name] for name in NAMES if name in named), *extra):
        if _content(token) not in known and token not in tokens:
            tokens.append(token)
    special = {_content(token) for token in named.values()}
    return tuple({_content(token): _flagged(token, _content(token) in special) for token in tokens}.values())


def _flagged(token: Token, special: bool) -> AddedToken:
    """The token with its final flags; plain text becomes a special token, matched in the prompt as typed."""
    if isinstance(token, str):
        return AddedToken(token, special=True)
    flags = {name: getattr(token, name) for name in FLAGS}
    return AddedToken(token.content, **{**flags, "special": token.special or special})


def _optional(file: Path) -> dict[str, Any]:
    return read_object(file) if file.is_file() else {}
