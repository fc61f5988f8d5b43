"""Write CLIP's tokenizer folder from OpenAI's list of merges.

    python assets/clip_vocabulary.py bpe_simple_vocab_16e6.txt.gz     # rewrites mobile_diffusion/clip_vocabulary

The list (MIT, copyright (c) 2021 OpenAI) is part of the package open_clip_torch 3.3.0, `open_clip/`.  What is
written has the layout of the `tokenizer/` of Stable Diffusion 1: vocab.json and merges.txt, and the two files
that name the special tokens.  Byte symbols, byte symbols that end a word, merges, specials: ids count in that order.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "mobile_diffusion" / "clip_vocabulary"
VOCABULARY = 49408
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
PRINTABLE = (range(ord("!"), ord("~") + 1), range(0xA1, 0xAD), range(0xAE, 0x100))
"""Bytes that stand for themselves; the others take the code points from 256 on."""


def byte_symbols() -> list[str]:
    """The character of each byte, printable bytes first."""
    printable = [byte for values in PRINTABLE for byte in values]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]


def read_merges(archive: Path) -> list[str]:
    """The merges that fit the vocabulary, each as two symbols with a space between."""
    lines = gzip.decompress(archive.read_bytes()).decode("utf-8").split("\n")
    return lines[1 : VOCABULARY - 2 * 256 - 2 + 1]


def vocabulary(merges: list[str]) -> dict[str, int]:
    """The id of every token."""
    symbols = byte_symbols()
    words = [*symbols, *(symbol + WORD_END for symbol in symbols), *(merge.replace(" ", "") for merge in merges)]
    return {word: index for index, word in enumerate([*words, START, END])}


def special_tokens() -> dict[str, Any]:
    """The tokens of Stable Diffusion 1: padding is the end token."""
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    names = (("bos", START), ("eos", END), ("unk", END))
    named = {f"{name}_token": {"content": token, **flags} for name, token in names}
    return {**named, "pad_token": END}


def main() -> None:
    """Rewrite the files beside this script."""
    merges = read_merges(Path(sys.argv[1]))
    tokens = vocabulary(merges)
    if len(tokens) != VOCABULARY:
        raise SystemExit(f"expected {VOCABULARY} tokens, got {len(tokens)}: give CLIP's list of merges")
    settings = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "pad_token": END}
    write = {
        "vocab.json": json.dumps(tokens, ensure_ascii=False, separators=(",", ":")),
        "merges.txt": "\n".join(["#version: 0.2", *merges]),
        "special_tokens_map.json": json.dumps(special_tokens(), indent=2),
        "tokenizer_config.json": json.dumps(settings, indent=2),
    }
    for name, text in write.items():
        (FOLDER / name).write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
