"""Pictures: from a package's artwork to 128-pixel RGB on white.

Every style goes through the same steps: the package's whole canvas keeps its aspect, is centred, and gets
the style's margin.  The drawing itself is never cropped or stretched, so relative sizes inside one style
(a small circle, a large circle) survive.  A PNG records the recipe that made it, so that a later run can tell
a finished picture from a damaged or outdated one.
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
from mobile_diffusion.staging import write_bytes

SIZE = 128
"""Width and height of every picture, in pixels."""

_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Artwork:
    """One drawing as its package stores it."""

    key: str
    """Code points without variation selectors, upper case: `concept_key` of the hexcode."""
    content: bytes
    """A WebP file or an SVG document."""
    kind: str


def concept_key(hexcode: str) -> str:
    """Hexcode by which all packages can be joined: upper case, no U+FE0F, no leading zeros.

    Joined so, because packages disagree on both.

    >>> concept_key("0031-fe0f-20e3")
    '31-20E3'
    """
    points = hexcode.upper().split("-")
    return "-".join(point.lstrip("0") for point in points if point != "FE0F")


def read_artwork(style: Style, folder: Path) -> Iterator[Artwork]:
    """Every drawing of a style (skin tones and flags included) from the archives in `folder`."""
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
    """SVG document of one icon of an iconify set, its aliases and mirrorings resolved; None if absent."""
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
    """The drawing on a white square of SIZE pixels, RGB, with `inset` pixels kept free on every side.

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
    """A WebP on white, its longer side `side` pixels."""
    with Image.open(io.BytesIO(content)) as file:
        picture = on_white(file)
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _decode_svg(content: bytes, side: int) -> Image.Image:
    """An SVG on white, its longer side `side` pixels."""
    import resvg_py

    document = content.decode()
    # resvg keeps the aspect when one side is given; the icon's own size says which is the longer.
    width, height = (float(document.split(f'{name}="', 1)[1].split('"', 1)[0]) for name in ("width", "height"))
    png = resvg_py.svg_to_bytes(
        svg_string=document,
        width=side if width >= height else max(1, round(side * width / height)),
        height=side if height >= width else max(1, round(side * height / width)),
        skip_system_fonts=True,
    )
    with Image.open(io.BytesIO(bytes(png))) as file:
        return on_white(file)


def on_white(picture: Image.Image) -> Image.Image:
    """RGB picture with its transparency laid over white."""
    rgba = picture.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (*_WHITE, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def write_png(picture: Image.Image, path: Path, recipe: str) -> None:
    """Write a PNG in one step, its recipe stored inside (see `is_finished`)."""
    text = PngImagePlugin.PngInfo()
    text.add_text("recipe", recipe)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=text)
    write_bytes(buffer.getvalue(), path)


def is_finished(path: Path, recipe: str) -> bool:
    """Whether `path` holds an undamaged picture made by this recipe."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.size == (SIZE, SIZE) and picture.mode == "RGB" and picture.info.get("recipe") == recipe
    except (OSError, ValueError, SyntaxError):
        return False


def read_png(path: Path) -> np.ndarray:
    """The picture as uint8 (H, W, 3); DataError when it cannot be read."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"expected a picture at {path}, got {error}; run mobile-diffusion data fetch again") from error
