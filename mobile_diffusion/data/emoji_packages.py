"""The ten npm packages with the pictures and captions, each pinned by version and SHA-512.

A package's archive is downloaded once and read without unpacking; none of it is committed.  A style is the whole set
of one artist, and prompts use its short name ("a red apple, 3d").  OpenMoji (share-alike licence) and the art of
Apple, Facebook and JoyPixels (not free) are left out on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mobile_diffusion.errors import DataError
from mobile_diffusion.quoting import quoted


@dataclass(frozen=True)
class EmojiPackage:
    """One npm package at one exact version."""

    name: str
    version: str
    sha512: str
    """SHA-512 of the archive in Base64, as in the registry's `integrity` after `sha512-`."""

    @property
    def address(self) -> str:
        """The package as an argument of npm: name@version."""
        return f"{self.name}@{self.version}"

    @property
    def archive(self) -> str:
        """Name of the archive that `npm pack` writes."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True)
class Style:
    """One set of pictures."""

    name: str
    """Short name used in prompts and as the image folder."""
    package: EmojiPackage
    licence: str
    """Key of `licences.LICENCES`."""
    kind: Literal["webp", "iconify"]
    """`webp`: one file per picture, named by code points. `iconify`: one JSON file of SVG bodies."""
    inset: int
    """White margin around the package's canvas, in pixels of 128.  Sets without a margin of their own get one, so
    that a drawing fills about 112 to 118 pixels in every style."""
    names: EmojiPackage
    """Package whose chars.json maps code points to icon names (iconify only).  chars.json is empty in the two oldest
    sets and in fluent-emoji; they use the names of a newer set (see also `OLDER_NAMES`)."""

    @property
    def packages(self) -> tuple[EmojiPackage, ...]:
        """Every package that is needed to render this style."""
        return tuple(dict.fromkeys((self.package, self.names)))


_FLUENT_3D = EmojiPackage(
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
)
_FLUENT = EmojiPackage(
    "@iconify-json/fluent-emoji",
    "1.2.7",
    "D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA==",
)
_FLAT = EmojiPackage(
    "@iconify-json/fluent-emoji-flat",
    "1.2.6",
    "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
)
_NOTO = EmojiPackage(
    "@iconify-json/noto",
    "1.2.9",
    "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
)
_NOTO_V1 = EmojiPackage(
    "@iconify-json/noto-v1",
    "1.2.5",
    "/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
)
_TWEMOJI = EmojiPackage(
    "@iconify-json/twemoji",
    "1.2.5",
    "uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
)
_EMOJIONE = EmojiPackage(
    "@iconify-json/emojione",
    "1.2.3",
    "T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
)

EMOJIBASE = EmojiPackage(
    "emojibase-data",
    "17.0.0",
    "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
)
EMOJILIB = EmojiPackage(
    "emojilib",
    "4.0.3",
    "KbWiYre9aRSaPbHrHZIz9zmoM+21LAsK1VFJtnTh1VCtWE/rNMDviGhQTmselFl95dhqtGlY22iH0leG5BuW0g==",
)
UNICODE_EMOJI = EmojiPackage(
    "unicode-emoji-json",
    "0.9.0",
    "HdrQW/7SdbXUsTd8uTATv7LvQJkCSgbAgRCDCtOhQ6xn3EAx+xZHQtRniOXWJK3ywIqPegkNhP4U4EbuFsiQng==",
)

OLDER_NAMES: dict[str, str] = {
    "a-button-blood-type": "a-button",
    "ab-button-blood-type": "ab-button",
    "b-button-blood-type": "b-button",
    "o-button-blood-type": "o-button",
    "up-button": "up-text-button",
    "bear": "bear-face",
    "frog": "frog-face",
    "hamster": "hamster-face",
    "lion": "lion-face",
    "panda": "panda-face",
    "unicorn": "unicorn-face",
    "robot": "robot-face",
    "grinning-cat": "grinning-cat-face",
    "grinning-cat-with-smiling-eyes": "grinning-cat-face-with-smiling-eyes",
    "cat-with-tears-of-joy": "cat-face-with-tears-of-joy",
    "cat-with-wry-smile": "cat-face-with-wry-smile",
    "smiling-cat-with-heart-eyes": "smiling-cat-face-with-heart-eyes",
    "kissing-cat": "kissing-cat-face",
    "weary-cat": "weary-cat-face",
    "crying-cat": "crying-cat-face",
    "pouting-cat": "pouting-cat-face",
    "enraged-face": "pouting-face",
    "face-with-crossed-out-eyes": "dizzy-face",
    "smiling-face-with-open-hands": "hugging-face",
    "person-blond-hair": "blond-haired-person",
    "woman-and-man-holding-hands": "man-and-woman-holding-hands",
    "men-holding-hands": "two-men-holding-hands",
    "women-holding-hands": "two-women-holding-hands",
    "person-in-suit-levitating": "man-in-suit-levitating",
    "person-with-skullcap": "man-with-chinese-cap",
    "person-with-veil": "bride-with-veil",
    "laptop": "laptop-computer",
    "bullseye": "direct-hit",
    "heart-exclamation": "heavy-heart-exclamation",
    "hollow-red-circle": "heavy-large-circle",
    "check-box-with-check": "ballot-box-with-check",
    "check-mark": "heavy-check-mark",
    "check-mark-button": "white-heavy-check-mark",
    "divide": "heavy-division-sign",
    "minus": "heavy-minus-sign",
    "multiply": "heavy-multiplication-x",
    "plus": "heavy-plus-sign",
    "red-exclamation-mark": "exclamation-mark",
    "red-question-mark": "question-mark",
}
"""Current name -> name in the oldest sets, for names that Unicode has changed since then."""

CHANGED_MEANINGS = frozenset({("noto-v1", "cricket"), ("emojione", "cricket")})
"""Style and icon name of drawings whose name has another meaning today: "cricket" was the game."""

CAPTION_PACKAGES = (EMOJIBASE, EMOJILIB, UNICODE_EMOJI)

STYLES: dict[str, Style] = {
    style.name: style
    for style in (
        Style("3d", _FLUENT_3D, "fluent", "webp", 0, _FLUENT_3D),
        Style("fluent", _FLUENT, "fluent", "iconify", 0, _FLAT),
        Style("flat", _FLAT, "fluent", "iconify", 0, _FLAT),
        Style("noto", _NOTO, "noto", "iconify", 4, _NOTO),
        Style("noto-v1", _NOTO_V1, "noto", "iconify", 4, _NOTO),
        Style("twemoji", _TWEMOJI, "twemoji", "iconify", 4, _TWEMOJI),
        Style("emojione", _EMOJIONE, "emojione", "iconify", 4, _NOTO),
    )
}


def choose_styles(names: Iterable[str]) -> tuple[Style, ...]:
    """The named styles in the order of `STYLES`, or all when none is named; raises DataError for an unknown name."""
    wanted = tuple(names) or tuple(STYLES)
    unknown = [name for name in wanted if name not in STYLES]
    if unknown:
        raise DataError(f"expected a style among {', '.join(STYLES)}, got {quoted(unknown[0])}; name one of these")
    return tuple(style for name, style in STYLES.items() if name in wanted)
