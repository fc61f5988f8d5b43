"""Renders a package's artwork as RGB pictures of 128 pixels on white.

The steps are the same for every style: the whole canvas keeps its aspect ratio, is centred, and gets the style's
margin.  The drawing is never cropped or stretched, so relative sizes within a style (a small circle, a large circle)
are kept.  A PNG stores its recipe, so that a later run recognises a picture that is damaged or out of date.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from mobile_diffusion.data.emoji_packages import CHANGED_MEANINGS, OLDER_NAMES, Style
from mobile_diffusion.data.package_archive import read_json, read_members
from mobile_diffusion.errors import DataError
from mobile_diffusion.picture_file import on_white, open_picture
from mobile_diffusion.staging import write_bytes

SIZE = 128
"""Width and height of every picture, in pixels."""

_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Artwork:
    """One drawing as its package stores it."""

    key: str
    """`concept_key` of the hexcode."""
    content: bytes
    """A WebP file or an SVG document."""
    kind: str
    """"webp" or "svg"."""


def concept_key(hexcode: str) -> str:
    """The hexcode in upper case, without U+FE0F and leading zeros.

    Packages write hexcodes in different ways, so their entries are joined by this key.

    >>> concept_key("0031-fe0f-20e3")
    '31-20E3'
    """
    points = hexcode.upper().split("-")
    return "-".join(point.lstrip("0") for point in points if point != "FE0F")


def read_artwork(style: Style, folder: Path) -> Iterator[Artwork]:
    """Yield every drawing of a style, including skin tones and flags, from the archives in `folder`.

    Raises DataError when an archive is missing or damaged.
    """
    if style.kind == "webp":
        for name, content in read_members(folder / style.package.archive, ".webp"):
            yield Artwork(concept_key(Path(name).stem), content, "webp")
        return
    icons = read_json(folder / style.package.archive, "icons.json")
    names = read_json(folder / style.names.archive, "chars.json")
    for code, name in names.items():
        svg = svg_document(icons, name) or svg_document(icons, OLDER_NAMES.get(name, name))
        if svg is not None and (style.name, name) not in CHANGED_MEANINGS:
            yield Artwork(concept_key(code), svg.encode(), "svg")


def svg_document(icons: dict[str, Any], name: str) -> str | None:
    """The SVG document of one icon of an iconify set, with aliases and mirroring resolved; None if it is absent."""
    icon = icons["icons"].get(name)
    mirrored = False
    for _ in range(5):  # aliases may point at aliases
        if icon is not None:
            break
        alias = icons.get("aliases", {}).get(name)
        if alias is None:
            return None
        mirrored ^= bool(alias.get("hFlip"))
        name = alias["parent"]
        icon = icons["icons"].get(name)
    if icon is None:
        return None
    left, top = (icon.get(side, icons.get(side, 0)) for side in ("left", "top"))
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    body = icon["body"]
    if mirrored:
        body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="{left} {top} {width} {height}">{body}</svg>'
    )


def render(artwork: Artwork, inset: int = 0) -> Image.Image:
    """Render the drawing as RGB on a white square of SIZE pixels, with a margin of `inset` pixels on every side.

    Raises DataError when the artwork cannot be decoded.
    """
    side = SIZE - 2 * inset
    try:
        drawing = _decode_svg(artwork.content, side) if artwork.kind == "svg" else _decode(artwork.content, side)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"expected a {artwork.kind} drawing for {artwork.key}, got {error}; fetch its archive again"
        ) from error
    canvas = Image.new("RGB", (SIZE, SIZE), _WHITE)
    canvas.paste(drawing, ((SIZE - drawing.width) // 2, (SIZE - drawing.height) // 2))
    return canvas


def _decode(content: bytes, side: int) -> Image.Image:
    """Decode a WebP file on white; its longer side gets `side` pixels."""
    with Image.open(io.BytesIO(content)) as file:
        picture = on_white(file)
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _decode_svg(content: bytes, side: int) -> Image.Image:
    """Render an SVG document on white; its longer side gets `side` pixels."""
    import resvg_py

    document = content.decode()
    # The icon's own size shows which side is the longer one.
    width, height = (float(document.split(f'{name}="', 1)[1].split('"', 1)[0]) for name in ("width", "height"))
    png = resvg_py.svg_to_bytes(
        svg_string=document,
        width=side if width >= height else max(1, round(side * width / height)),
        height=side if height >= width else max(1, round(side * height / width)),
        skip_system_fonts=True,
    )
    with Image.open(io.BytesIO(bytes(png))) as file:
        return on_white(file)


def write_png(picture: Image.Image, path: Path, recipe: str) -> None:
    """Write a PNG atomically, with its recipe as metadata (see `is_finished`)."""
    text = PngImagePlugin.PngInfo()
    text.add_text("recipe", recipe)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=text)
    write_bytes(buffer.getvalue(), path)


def is_finished(path: Path, recipe: str) -> bool:
    """Whether `path` is an undamaged picture with this recipe."""
    try:
        with Image.open(path) as picture:
            if picture.size != (SIZE, SIZE):  # before anything is decoded
                return False
            picture.load()
            return picture.mode == "RGB" and picture.info.get("recipe") == recipe
    except Exception:  # a decoder raises whatever its parsing of a damaged file runs into
        return False


def read_png(path: Path) -> np.ndarray:
    """Read a picture as uint8 (H, W, 3); raise DataError when it cannot be read."""
    try:
        return np.asarray(open_picture(path))
    except DataError as error:
        raise DataError(f"{error}; run mobile-diffusion data fetch again") from error
