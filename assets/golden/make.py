"""Write the golden vectors that hold every language to the same noise and the same tokens.

    python assets/golden/make.py            # rewrites noise.json and tokens.json beside it

Python, Swift, Kotlin and C++ tests read the files.  Seeds are strings because JSON numbers are doubles in
some languages; `sha256` is of the little-endian float32 bytes in C order.  Tokens are the shipped model's.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from mobile_diffusion.noise import MAX_SEED, gaussian, philox
from mobile_diffusion.presets import MINILM
from mobile_diffusion.tokenizer import WordPieceTokenizer

FOLDER = Path(__file__).resolve().parent
TOKENIZER = FOLDER.parent / "emoji" / "tokenizer.json"

PHILOX_INPUTS: tuple[tuple[tuple[int, int, int, int], tuple[int, int]], ...] = (
    ((0, 0, 0, 0), (0, 0)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)),
)
"""Counters and keys whose answers Random123 publishes (its kat_vectors file)."""

LATENTS: tuple[tuple[int, tuple[int, ...]], ...] = (
    (0, (1, 4, 16, 16)),
    (1, (1, 4, 16, 16)),
    (7, (1, 8, 16, 16)),
    (42, (1, 4, 64, 64)),
    (2**32 - 1, (1, 4, 16, 16)),
    (2**32, (1, 4, 16, 16)),
    (MAX_SEED, (1, 4, 16, 16)),
    (123456789, (3, 5, 7)),
)
"""Seeds and shapes: both halves of the key, the latents in use, and a count that is no multiple of 4."""

SHOWN_VALUES = 16

PROMPTS = (
    "",
    "a red apple, 3d",
    "  Smiling FACE\twith sunglasses!\n",
    "it's a co-op: re-use (50%) of half-moons & stars...",
    "na\u00efve caf\u00e9, Zoe\u0308, \u0130stanbul, stra\u00dfe",
    "unbelievablyhyperantidisestablishmentarianistic teacups",
    "x" * 101,
    "\U0001f600 grinning face \U0001f34e and a \U0001f469\u200d\U0001f680 astronaut",
    "\u043a\u0440\u0430\u0441\u043d\u043e\u0435 \u044f\u0431\u043b\u043e\u043a\u043e",
    "\u7ea2\u82f9\u679c on \u767d background",
    "\ube68\uac04 \uc0ac\uacfc",
    "\u062a\u0641\u0627\u062d\u0629 \u062d\u0645\u0631\u0627\u0621",
    "zero\u200dwidth\u00a0spaces\u3000here",
    "numbers 1,234.5 and \u00bd \u00d7 \u00b2",
    "a cat and a dog and a car and a rocket and a heart and a pizza and a tree and a house and a star",
)
"""Empty, usual, accented, joined, over-long, of several scripts: whatever a tokenizer may do differently."""


def philox_vector(counter: tuple[int, ...], key: tuple[int, int]) -> dict[str, Any]:
    """One known answer of Philox4x32-10, words in hexadecimal, least significant word first."""
    words = philox(key, np.array([counter], dtype=np.uint32))[0]
    return {
        "counter": [f"{word:08x}" for word in counter],
        "key": [f"{word:08x}" for word in key],
        "words": [f"{word:08x}" for word in words],
    }


def gaussian_vector(seed: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """The first values and the hash of the noise of one seed and shape."""
    noise = gaussian(seed, shape).astype("<f4")
    return {
        "seed": str(seed),
        "shape": list(shape),
        "first": [float(value) for value in noise.reshape(-1)[:SHOWN_VALUES]],
        "last": float(noise.reshape(-1)[-1]),
        "sha256": hashlib.sha256(noise.tobytes()).hexdigest(),
    }


def noise_vectors() -> dict[str, Any]:
    """Everything that noise.json holds."""
    return {
        "generator": "philox4x32-10, Box-Muller in float64, rounded to float32, C order",
        "philox": [philox_vector(counter, key) for counter, key in PHILOX_INPUTS],
        "gaussian": [gaussian_vector(seed, shape) for seed, shape in LATENTS],
    }


def token_vectors() -> dict[str, Any]:
    """Everything that tokens.json holds: the ids and the mask of each prompt."""
    tokenizer = WordPieceTokenizer.from_file(TOKENIZER, MINILM.max_tokens)
    encoded = [(prompt, tokenizer.encode(prompt)) for prompt in PROMPTS]
    return {
        "tokenizer": "wordpiece, assets/emoji/tokenizer.json",
        "max_tokens": MINILM.max_tokens,
        "prompts": [
            {"prompt": prompt, "ids": tokens.ids.tolist(), "mask": tokens.mask.tolist()} for prompt, tokens in encoded
        ],
    }


def write(name: str, vectors: dict[str, Any]) -> None:
    """Write one golden file: an entry of its lists a line."""
    parts = []
    for key, value in vectors.items():
        lines = ",\n".join(f"  {json.dumps(item)}" for item in value) if isinstance(value, list) else ""
        text = f"[\n{lines}\n ]" if isinstance(value, list) else json.dumps(value)
        parts.append(f" {json.dumps(key)}: {text}")
    (FOLDER / name).write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Rewrite the golden files beside this script."""
    write("noise.json", noise_vectors())
    write("tokens.json", token_vectors())


if __name__ == "__main__":
    main()
