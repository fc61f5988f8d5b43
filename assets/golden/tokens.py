"""Token ids of every golden prompt, by the libraries that the models were made with: not by this project's tokenizers.

WordPiece: `tokenizers` on the shipped model's file.  CLIP: `transformers` on CLIP's vocabulary and merges.  CLIP with
added tokens: `tokenizers` on a short vocabulary with tokens of textual inversion.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from transformers import CLIPTokenizer

from assets.golden.prompts import golden_prompts
from mobile_diffusion.tokenization.clip_tokenizer import define
from mobile_diffusion.tokenization.tokenizer_folder import read_tokenizer_folder

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "mobile_diffusion" / "clip_vocabulary"
WORDPIECE = "../emoji/tokenizer.json"
FULL, ADDED = "tokenizers/clip.json", "tokenizers/added.json"
FIRST, LAST, PADDING = "<|startoftext|>", "<|endoftext|>", "!"
SYMBOLS, MERGES = 512, 1500
"""The short vocabulary: every byte within a word and at its end, and so many merges."""
REFUSED = (("a\0b", "without NUL bytes, got one at character 1"), ("\0", "without NUL bytes, got one at character 0"))


def clip_definition() -> str:
    """CLIP's own tokenizer as a bundle holds it."""
    return define(read_tokenizer_folder(CLIP))


def added_definition() -> str:
    """A short CLIP vocabulary that pads with "!", and tokens of textual inversion.

    <Cat> has companions; <left> and <right> take the spaces beside them; the others are found in normalized text.
    """
    with tempfile.TemporaryDirectory() as name:
        _write_short_folder(Path(name))
        library = Tokenizer.from_str(define(read_tokenizer_folder(Path(name))))
    library.add_tokens(["<Cat>", "<Cat>_1", "<Cat>_2", "sks", "\u00e9-thing"])
    library.add_tokens([AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True)])
    return library.to_str()


def _write_short_folder(folder: Path) -> None:
    symbols = sorted(json.loads((CLIP / "vocab.json").read_text(encoding="utf-8")).items(), key=lambda item: item[1])
    words = [word for word, _ in symbols[: SYMBOLS + MERGES]] + [FIRST, LAST]
    lines = (CLIP / "merges.txt").read_text(encoding="utf-8").split("\n")[: 1 + MERGES]
    special = {"bos_token": FIRST, "eos_token": LAST, "unk_token": LAST, "pad_token": PADDING}
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special))


def token_files() -> dict[str, dict[str, Any]]:
    """The three files by name."""
    wordpiece = Tokenizer.from_file(str(ROOT / "assets" / "emoji" / "tokenizer.json"))
    wordpiece.no_padding()
    wordpiece.no_truncation()
    clip = CLIPTokenizer.from_pretrained(CLIP)
    added = Tokenizer.from_str(added_definition())
    added.no_padding()
    following = {_id(added, "<Cat>"): [_id(added, "<Cat>_1"), _id(added, "<Cat>_2")]}
    unknown = _id(wordpiece, "[UNK]")
    return {
        "tokens-wordpiece.json": _file(
            "wordpiece", WORDPIECE, 24, lambda text: wordpiece.encode(text).ids, _id(wordpiece, "[PAD]"), unknown
        ),
        "tokens-clip.json": _file(
            "clip-bpe", FULL, 77, lambda text: clip(text, truncation=False)["input_ids"], _id(clip, LAST)
        ),
        "tokens-added.json": _file(
            "clip-bpe", ADDED, 40, lambda text: _expanded(added.encode(text).ids, following), _id(added, PADDING)
        ),
    }


def _file(
    kind: str,
    tokenizer: str,
    length: int,
    encode: Callable[[str], list[int]],
    padding: int,
    unknown: int | None = None,
) -> dict[str, Any]:
    def case(prompt: str) -> dict[str, Any]:
        ids = encode(prompt)
        foreign = prompt.strip() and all(index == unknown for index in ids[1:-1])
        return {"prompt": prompt, "ids": cut(ids)} | ({"known": False} if foreign else {})

    def cut(ids: list[int]) -> list[int]:
        return ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]

    return {
        "kind": kind,
        "max_tokens": length,
        "tokenizer": tokenizer,
        "padding": padding,
        "cases": [case(prompt) for prompt in golden_prompts()],
        "refused": [{"prompt": prompt, "message": message} for prompt, message in REFUSED],
    }


def _expanded(ids: list[int], following: Mapping[int, list[int]]) -> list[int]:
    return [part for index in ids for part in (index, *following.get(index, ()))]


def _id(tokenizer: Tokenizer | CLIPTokenizer, token: str) -> int:
    found = tokenizer.get_vocab()[token]
    return int(found)
