"""Rendering: 128-pixel RGB on white, aspect kept, the drawing where it was."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobile_diffusion.data.pictures import (
    SIZE,
    Artwork,
    concept_key,
    is_finished,
    read_png,
    render,
    svg_document,
    write_png,
)
from mobile_diffusion.errors import DataError

SQUARE = {"width": 32, "height": 32}


def webp(size: tuple[int, int], alpha: int = 255) -> bytes:
    picture = Image.new("RGBA", size, (255, 0, 0, alpha))
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", lossless=True, exact=True)
    return buffer.getvalue()


def svg(body: str, **size: int) -> bytes:
    document = svg_document({**SQUARE, "icons": {"a": {"body": body, **size}}}, "a")
    assert document is not None
    return document.encode()


def pixels(artwork: Artwork, inset: int = 0) -> np.ndarray:
    return np.asarray(render(artwork, inset))


def test_transparent_becomes_white() -> None:
    for artwork in (Artwork("1", webp((64, 64), alpha=0), "webp"), Artwork("1", svg(""), "svg")):
        picture = pixels(artwork)
        assert picture.shape == (SIZE, SIZE, 3)
        assert picture.dtype == np.uint8
        assert (picture == 255).all()


def test_half_transparent_is_mixed_with_white() -> None:
    assert np.abs(pixels(Artwork("1", webp((64, 64), alpha=128), "webp"))[64, 64] - (255, 127, 127)).max() <= 1


@pytest.mark.parametrize("kind", ["webp", "svg"])
def test_aspect_is_kept_and_the_rest_is_white(kind: str) -> None:
    content = webp((200, 100)) if kind == "webp" else svg('<path fill="red" d="M0 0h40v20H0z"/>', width=40, height=20)
    picture = pixels(Artwork("1", content, kind))
    assert (picture[34:94, 2:126] == (255, 0, 0)).all()
    assert (picture[:30] == 255).all()
    assert (picture[98:] == 255).all()


def test_inset_leaves_a_margin() -> None:
    picture = pixels(Artwork("1", svg('<path fill="#00f" d="M0 0h32v32H0z"/>'), "svg"), inset=4)
    assert (picture[4:124, 4:124] == (0, 0, 255)).all()
    margin = np.ones((SIZE, SIZE), dtype=bool)
    margin[4:124, 4:124] = False
    assert (picture[margin] == 255).all()


def test_mirrored_alias_is_the_mirror_image() -> None:
    icons = {
        **SQUARE,
        "icons": {"left": {"body": '<path fill="#00f" d="M0 0h8v20H0z"/>'}},
        "aliases": {"right": {"parent": "left", "hFlip": True}, "again": {"parent": "right"}},
    }
    documents = {name: svg_document(icons, name) for name in ("left", "right", "again", "none")}
    assert documents["none"] is None
    left, right, again = (pixels(Artwork("1", (documents[n] or "").encode(), "svg")) for n in list(documents)[:3])
    np.testing.assert_array_equal(left[:, ::-1], right)
    np.testing.assert_array_equal(right, again)


@pytest.mark.parametrize("kind", ["webp", "svg"])
def test_damaged_artwork_is_one_line(kind: str) -> None:
    content = webp((64, 64))[:40] if kind == "webp" else b'<svg width="3" height="3"><path'
    with pytest.raises(DataError, match="1F34E") as caught:
        render(Artwork("1F34E", content, kind))
    assert "\n" not in str(caught.value)


def test_png_is_finished_only_by_the_same_recipe_and_undamaged(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert not is_finished(path, "one")
    write_png(render(Artwork("1", webp((64, 64)), "webp")), path, "one")
    assert is_finished(path, "one")
    assert not is_finished(path, "two")
    path.write_bytes(path.read_bytes()[:-30])
    assert not is_finished(path, "one")
    with pytest.raises(DataError, match="data fetch"):
        read_png(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_keys_join_spellings_of_all_packages() -> None:
    assert concept_key("0023-FE0F-20E3") == concept_key("23-20e3") == "23-20E3"
    assert concept_key("1f468-200d-2695-fe0f") == concept_key("1F468-200D-2695")
