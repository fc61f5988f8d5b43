"""Licences of the pictures and captions, and the attribution that each requires.

Every row of the data set names its licence.  `licence_summary` is the text to distribute with the pictures, and with
a model trained on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mobile_diffusion.data.emoji_packages import CAPTION_PACKAGES, Style


@dataclass(frozen=True)
class Licence:
    """Terms under which a set of pictures is published."""

    spdx: str
    attribution: str
    """Sentence to show wherever the pictures, or a model trained on them, are distributed."""
    address: str


LICENCES: dict[str, Licence] = {
    "fluent": Licence(
        "MIT",
        "Fluent Emoji, copyright (c) Microsoft Corporation, MIT licence.",
        "https://github.com/microsoft/fluentui-emoji/blob/main/LICENSE",
    ),
    "noto": Licence(
        "Apache-2.0",
        "Noto Emoji, copyright Google Inc., Apache licence 2.0.",
        "https://github.com/googlefonts/noto-emoji/blob/main/LICENSE",
    ),
    "twemoji": Licence(
        "CC-BY-4.0",
        "Twemoji, copyright Twitter, Inc. and other contributors, CC BY 4.0; scaled and laid on white.",
        "https://creativecommons.org/licenses/by/4.0/",
    ),
    "emojione": Licence(
        "CC-BY-4.0",
        "Emoji artwork provided by EmojiOne (version 2), CC BY 4.0; scaled and laid on white.",
        "https://creativecommons.org/licenses/by/4.0/",
    ),
}


def licence_summary(styles: Iterable[Style]) -> str:
    """Plain text that names every package used, its version, licence and attribution."""
    lines = ["Licences of the emoji data set", "", "Pictures"]
    for style in styles:
        licence = LICENCES[style.licence]
        lines += [
            f"- {style.name}: {style.package.address}, {licence.spdx}",
            f"  {licence.attribution}",
            f"  {licence.address}",
        ]
    lines += ["", "Captions"]
    lines += [f"- {package.address}, MIT" for package in CAPTION_PACKAGES]
    return "\n".join(lines) + "\n"
