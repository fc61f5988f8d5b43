"""Every kind of picture that users hand in, compared with what PIL itself makes of it; damaged and huge files."""

from __future__ import annotations

import io
import logging
import random
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from mobile_diffusion.errors import DataError
from mobile_diffusion.picture_file import MAX_PIXELS, open_picture

ORIENTATION = 0x0112
GREY = np.arange(0, 65536, 257 * 5, dtype=np.uint16).reshape(4, 13)
"""16-bit grey from black to white; every value is that of a whole 8-bit level."""


def gradient(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    return Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8)).convert(mode)


def saved(picture: Image.Image, name: str, folder: Path, **options: Any) -> Path:
    picture.save(folder / name, **options)
    return folder / name


def assert_equal(path: Path, expected: Image.Image, tolerance: int = 0) -> None:
    picture = open_picture(path)
    assert picture.mode == "RGB"
    got, wanted = np.asarray(picture).astype(int), np.asarray(expected.convert("RGB")).astype(int)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_pil(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(gradient(), "a.jpg", tmp_path, exif=exif, quality=95)
    with Image.open(path) as file:
        upright = ImageOps.exif_transpose(file)
        assert upright.size == ((24, 16) if orientation < 5 else (16, 24))
        assert_equal(path, upright)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("CMYK", "a.tiff"),
        ("CMYK", "a.jpg"),
        ("YCbCr", "a.jpg"),
        ("L", "a.png"),
        ("1", "a.png"),
        ("P", "a.gif"),
    ],
)
def test_modes_without_transparency_are_converted_as_pil_does(
    mode: str, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(gradient(mode), name, tmp_path)
    with Image.open(path) as file:
        assert_equal(path, file)
    assert not caplog.records


def with_alpha(mode: str) -> tuple[Image.Image, dict[str, Any]]:
    """A picture of the mode that is transparent somewhere, and the options to save it with."""
    rgba = gradient("RGBA")
    rgba.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 24).astype(np.uint8), (16, 1))))
    if mode in ("RGBA", "LA"):
        return rgba.convert(mode), {}
    picture = gradient(mode)
    return picture, {"transparency": {"P": bytes(range(256)), "L": 29, "1": 0, "RGB": (0, 0, 255)}[mode]}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "RGB"])
def test_transparent_pixels_are_on_white_and_it_is_said(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture, options = with_alpha(mode)
    path = saved(picture, "a.png", tmp_path, **options)
    with Image.open(path) as file:
        rgba = np.asarray(file.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    assert alpha.min() < 1
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(np.asarray(open_picture(path)) - expected).max() <= 1
    assert [record.message for record in caplog.records] == [f"{path}: has transparent pixels; they are put on white"]


def test_an_alpha_channel_that_is_opaque_is_not_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert_equal(saved(gradient("RGBA"), "a.png", tmp_path), gradient())
    assert not caplog.records


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm", "a.jp2"])
def test_16_bit_grey_keeps_its_levels(name: str, tmp_path: Path) -> None:
    expected = np.rint(GREY / 257)
    path = saved(Image.fromarray(GREY), name, tmp_path)
    assert (np.asarray(open_picture(path)) == expected[..., None]).all()


def test_16_bit_grey_keeps_its_transparent_level(tmp_path: Path) -> None:
    path = saved(Image.fromarray(GREY), "a.png", tmp_path, transparency=257 * 50)
    expected = np.where(GREY == 257 * 50, 255, GREY // 257)
    assert (GREY == 257 * 50).any() and (np.asarray(open_picture(path)) == expected[..., None]).all()


def test_float_pixels_are_0_to_1(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 52, dtype=np.float32).reshape(4, 13)
    path = saved(Image.fromarray(values), "a.tiff", tmp_path)
    assert (np.asarray(open_picture(path)) == np.rint(values * 255)[..., None]).all()


@pytest.mark.parametrize("worst", [-0.5, 255.0, np.nan, np.inf])
def test_float_pixels_of_another_range_are_refused(worst: float, tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.array([[0, worst]], np.float32)), "a.tiff", tmp_path)
    with pytest.raises(DataError, match="expected grey values from 0 to 1, got"):
        open_picture(path)


def test_32_bit_integers_are_refused(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.array([[0, 7]], np.int32)), "a.tiff", tmp_path)
    with pytest.raises(DataError, match="got 32-bit integers"):
        open_picture(path)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tiff", "a.avif"])
def test_of_several_pictures_the_first_is_used_and_it_is_said(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    others = [gradient().transpose(Image.Transpose.ROTATE_180)]
    path = saved(gradient(), name, tmp_path, save_all=True, append_images=others)
    with Image.open(path) as file:
        assert file.n_frames == 2  # type: ignore[attr-defined]
        file.seek(0)
        assert_equal(path, file)
    assert [record.message for record in caplog.records] == [f"{path}: has several pictures; the first one is used"]


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def png_with(part: bytes) -> bytes:
    """A PNG whose second chunk is `part`."""
    buffer = io.BytesIO()
    gradient().save(buffer, "PNG")
    return buffer.getvalue()[:33] + part + buffer.getvalue()[33:]


CHUNKS = {
    "zTXt": chunk(b"zTXt", b"Comment\0\0" + b"not zlib"),
    "zTXt method": chunk(b"zTXt", b"Comment\0\7abc"),
    "zTXt empty": chunk(b"zTXt", b""),
    "iTXt": chunk(b"iTXt", b"a\0\1\0\0\0not zlib"),
    "iCCP": chunk(b"iCCP", b"profile\0\0not zlib"),
    "iCCP empty": chunk(b"iCCP", b""),
    "iCCP bomb": chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2**26))),
    "eXIf": chunk(b"eXIf", b"MM\0*\0\0\xff\xff"),
    "pHYs": chunk(b"pHYs", b""),
    "tRNS": chunk(b"tRNS", b""),
}


def opens_or_is_one_line(path: Path) -> bool:
    """Whether the file opens; anything but a `DataError` of one line fails the test."""
    try:
        open_picture(path)
    except DataError as error:
        message = str(error).removeprefix(str(path))
        assert "expected" in message and "\n" not in message and len(message) < 350
        return False
    return True


@pytest.mark.parametrize("name", CHUNKS)
def test_a_broken_chunk_is_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_with(CHUNKS[name]))
    opens_or_is_one_line(path)


@pytest.mark.parametrize(
    "suffix",
    ["qoi", "sgi", "dds", "avif", "tiff", "gif", "webp", "ico", "icns", "jp2", "tga", "pcx", "bmp", "jpg", "png"],
)
def test_damaged_files_are_one_line(suffix: str, tmp_path: Path) -> None:
    whole = saved(gradient(size=(16, 16)), f"whole.{suffix}", tmp_path).read_bytes()
    assert opens_or_is_one_line(tmp_path / f"whole.{suffix}")
    path, generator = tmp_path / f"a.{suffix}", random.Random(0)
    lengths = {*range(0, min(len(whole), 64)), *(generator.randrange(len(whole)) for _ in range(40))}
    for length in lengths:
        path.write_bytes(whole[:length])
        opens_or_is_one_line(path)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(min(len(whole), 160))] = generator.randrange(256)
        path.write_bytes(damaged)
        opens_or_is_one_line(path)


def png_header(width: int, height: int) -> bytes:
    """A PNG of one colour whose size is stated but which is mostly absent."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8193, 13_000, 60_000])
def test_the_number_of_pixels_is_bounded_before_decoding(side: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(side, side))
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(DataError, match=r"expected a picture of at most 67 megapixels, got .*; make it smaller"):
        open_picture(path)
    assert time.perf_counter() - begin < 1 and tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert side**2 > MAX_PIXELS


def test_a_huge_picture_inside_an_icon_is_refused(tmp_path: Path) -> None:
    png = png_header(13_000, 13_000)
    entry = bytes([0, 0, 0, 0, 1, 0, 32, 0]) + len(png).to_bytes(4, "little") + (22).to_bytes(4, "little")
    path = tmp_path / "a.ico"
    path.write_bytes(bytes([0, 0, 1, 0, 1, 0]) + entry + png)
    with pytest.raises(DataError, match="67 megapixels"):
        open_picture(path)


def test_notes_and_profiles_do_not_matter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "long " * 1000, zip=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with caplog.at_level(logging.WARNING):
        assert_equal(saved(gradient(), "a.png", tmp_path, pnginfo=notes, icc_profile=profile), gradient())
    assert not caplog.records
