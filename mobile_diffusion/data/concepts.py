"""Reads concepts: the words for each emoji, and its side of the split.

The words come from three packages under the MIT licence: emojibase (label and tags), emojilib (keywords) and
unicode-emoji-json (Unicode's names).  Skin tones, hair components, regional indicators and flags are left out: skin
tones are near-duplicates of the base picture, and flags would test the memory of 270 names rather than drawing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_diffusion.data.concept_families import Split, family_of, split_of
from mobile_diffusion.data.emoji_packages import EMOJIBASE, EMOJILIB, UNICODE_EMOJI
from mobile_diffusion.data.package_archive import read_json
from mobile_diffusion.data.pictures import concept_key

_LEFT_OUT_GROUPS = (None, 2, 9)
"""Groups of emojibase that are left out: None (regional indicators), 2 (skin tones and hair), 9 (flags)."""

GROUPS = {
    0: "smileys",
    1: "people",
    3: "animals",
    4: "food",
    5: "travel",
    6: "activities",
    7: "objects",
    8: "symbols",
}
"""Group of emojibase -> its short name here."""

_WORDS = re.compile(r"[a-z0-9à-ÿ][a-z0-9à-ÿ '.,&+/-]*[a-z0-9à-ÿ.!]|[0-9]+")
"""Matches a keyword: words or numbers, but no emoticons (":d") and no single letters."""


@dataclass(frozen=True)
class Concept:
    """One emoji, whatever its style."""

    hexcode: str
    emoji: str
    label: str
    keywords: tuple[str, ...]
    group: str
    """One of `GROUPS`."""
    family: str
    split: Split


def read_concepts(folder: Path) -> dict[str, Concept]:
    """Read all base concepts from the caption archives in `folder`: `concept_key` -> concept, in Unicode's order.

    Raises DataError when an archive is missing or damaged.
    """
    emojibase = read_json(folder / EMOJIBASE.archive, "en/data.json")
    emojilib = _by_key(read_json(folder / EMOJILIB.archive, "dist/emoji-en-US.json"))
    unicode_names = _by_key(read_json(folder / UNICODE_EMOJI.archive, "data-by-emoji.json"))
    base = [entry for entry in emojibase if entry.get("group") not in _LEFT_OUT_GROUPS]
    concepts = {}
    for entry in sorted(base, key=lambda entry: entry["order"]):
        key = concept_key(entry["hexcode"])
        words = [*entry.get("tags", ()), *emojilib.get(key, ()), unicode_names.get(key, {}).get("name", "")]
        family = family_of(entry["label"], entry["group"], entry["subgroup"])
        concepts[key] = Concept(
            hexcode=entry["hexcode"],
            emoji=entry["emoji"],
            label=entry["label"],
            keywords=clean_keywords(words, entry["label"]),
            group=GROUPS[entry["group"]],
            family=family,
            split=split_of(family),
        )
    return concepts


def _by_key(entries: dict[str, Any]) -> dict[str, Any]:
    """Replace the keys of a table, which are emoji, by their `concept_key`."""
    return {concept_key("-".join(f"{ord(point):x}" for point in emoji)): value for emoji, value in entries.items()}


def clean_keywords(words: Iterable[str], label: str) -> tuple[str, ...]:
    """Clean keywords: lower case, words only, without duplicates and without the label, in order of first mention.

    >>> clean_keywords(["red_apple", "Fruit", ":D", "fruit"], "red apple")
    ('fruit',)
    """
    plain = (" ".join(word.replace("_", " ").lower().split()) for word in words)
    kept = dict.fromkeys(word for word in plain if _WORDS.fullmatch(word))
    kept.pop(label.lower(), None)
    return tuple(kept)
