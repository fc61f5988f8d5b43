"""A registry of tiny packages on a stand-in for npm: two styles of four drawings, and three caption packages."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import stat
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from mobile_diffusion.data import concepts, emoji_packages, preparation
from mobile_diffusion.data.emoji_packages import EmojiPackage, Style

CONCEPTS = {
    "1F34E": ("red apple", 4, 42, ["fruit", "Red"]),
    "1F468-200D-1F33E": ("man farmer", 1, 25, ["gardener"]),
    "1F469-200D-1F33E": ("woman farmer", 1, 25, ["gardener"]),
    "2764": ("red heart", 0, 14, ["love"]),
}
"""Hexcode: label, group, subgroup, tags."""


def archive_bytes(files: dict[str, bytes]) -> bytes:
    """A package archive as npm makes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def webp(colour: tuple[int, int, int, int], size: tuple[int, int] = (256, 256)) -> bytes:
    """A transparent picture whose middle half is one colour."""
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    box = (size[0] // 4, size[1] // 4, size[0] * 3 // 4, size[1] * 3 // 4)
    picture.paste(colour, box)
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", lossless=True)
    return buffer.getvalue()


@dataclass
class Registry:
    """Packages served by a stand-in for npm, and the styles made from them."""

    folder: Path
    styles: tuple[Style, ...]
    captions: tuple[EmojiPackage, ...]
    tools: Path
    """Folder of the stand-in, for PATH."""
    log: Path
    """One line for each package that the stand-in was asked for."""

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    @property
    def tables(self) -> list[tuple[Any, str, Any]]:
        """Module, name and value of each of the product's tables that must point at the packages."""
        names = ("EMOJIBASE", "EMOJILIB", "UNICODE_EMOJI")
        one_each = [(concepts, name, package) for name, package in zip(names, self.captions, strict=True)]
        return [*one_each, (preparation, "CAPTION_PACKAGES", self.captions)]


def _publish(folder: Path, package: EmojiPackage, files: dict[str, bytes]) -> EmojiPackage:
    content = archive_bytes(files)
    (folder / package.archive).write_bytes(content)
    return replace(package, sha512=base64.b64encode(hashlib.sha512(content).digest()).decode())


def _caption_files() -> list[dict[str, bytes]]:
    emojis = {code: "".join(chr(int(point, 16)) for point in code.split("-")) for code in CONCEPTS}
    emojibase = [
        {"hexcode": code, "emoji": emojis[code], "label": label, "order": order, "group": group,
         "subgroup": subgroup, "tags": tags}
        for order, (code, (label, group, subgroup, tags)) in enumerate(CONCEPTS.items())
    ]  # fmt: skip
    flag = {**emojibase[0], "hexcode": "1F1E6-1F1E8", "label": "flag: Ascension Island", "group": 9}
    emojilib = {emojis["1F34E"]: ["red_apple", "mac_store", ":D"], "❤️": ["LOVE", "like"]}
    names = {emoji: {"name": f"name of {code.lower()}"} for code, emoji in emojis.items()}
    return [
        {"en/data.json": json.dumps([*emojibase, flag]).encode()},
        {"dist/emoji-en-US.json": json.dumps(emojilib).encode()},
        {"data-by-emoji.json": json.dumps(names).encode()},
    ]


def _iconify_files() -> dict[str, bytes]:
    circle = '<circle cx="16" cy="16" r="14" fill="#00ff00"/>'
    left = '<path fill="#0000ff" d="M0 0h16v32H0z"/>'
    icons = {
        "width": 32,
        "height": 32,
        "icons": {"red-apple": {"body": circle}, "man-farmer": {"body": left}},
        "aliases": {"woman-farmer": {"parent": "man-farmer", "hFlip": True}},
    }
    names = {
        "1f34e": "red-apple",
        "1f468-200d-1f33e": "man-farmer",
        "1f469-200d-1f33e": "woman-farmer",
        "1f1e6-1f1e8": "red-apple",
    }
    return {"icons.json": json.dumps(icons).encode(), "chars.json": json.dumps(names).encode()}


def _stand_in(folder: Path, served: Path, log: Path) -> None:
    """An `npm` that packs from a folder: `npm pack --loglevel=error --pack-destination DIR NAME@VERSION`."""
    script = (
        "#!/bin/sh\n"
        f'echo "$5" >> "{log}"\n'
        "name=$(echo \"$5\" | sed 's#^@##;s#/#-#;s#@#-#')\n"
        f'cp "{served}/$name.tgz" "$4/" 2>/dev/null && exit 0\n'
        'echo "npm warn Unknown user config" >&2\n'
        'echo "npm error code ENOTFOUND" >&2\n'
        'echo "npm error syscall connect" >&2\n'
        'echo "npm error network request to registry failed" >&2\n'
        "exit 1\n"
    )
    path = folder / "npm"
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def publish_tiny(folder: Path) -> Registry:
    """Write the packages and the stand-in below an existing folder."""
    served, tools, log = folder / "served", folder / "tools", folder / "asked.txt"
    served.mkdir()
    tools.mkdir()
    _stand_in(tools, served, log)
    known = emoji_packages.STYLES
    captions = tuple(
        _publish(served, package, files)
        for package, files in zip(emoji_packages.CAPTION_PACKAGES, _caption_files(), strict=True)
    )
    pictures = {f"assets/{code.lower()}.webp": webp((255, 0, 0, 255)) for code in ("1F34E", "2764-FE0F")}
    webps = _publish(served, known["3d"].package, pictures)
    icons = _publish(served, known["flat"].package, _iconify_files())
    styles = (
        replace(known["3d"], package=webps, names=webps),
        replace(known["flat"], package=icons, names=icons),
    )
    return Registry(served, styles, captions, tools, log)
