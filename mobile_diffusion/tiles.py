"""Big pictures by overlapping tiles, so that neither `decode_image` nor `encode_image` holds a whole one.

A tile has a fixed shape, so the programs of a bundle have static shapes as ever.  Tiles are spread evenly from edge to
edge, and neighbours share at least a quarter of a tile.  Where they overlap, the later one fades in along a line, as in
diffusers' `AutoencoderKL.tiled_decode`: tiles of a row from left to right, then rows from top to bottom.  Every app has
the same loop, in float32 without fused operations, so that all of them make the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.draw_settings import DrawSettings
from mobile_diffusion.run_stage import RunStage

Floats = NDArray[np.float32]
OVERLAP = 4
"""Neighbours share at least this part of a tile: a quarter, diffusers' `tile_overlap_factor`."""


def tile_starts(whole: int, tile: int) -> tuple[int, ...]:
    """Where the tiles along one side begin: the fewest that cover it, as far apart as each other, rounded down."""
    shared = tile // OVERLAP
    gaps = -(-(whole - tile) // (tile - shared))
    return tuple(number * (whole - tile) // gaps for number in range(gaps + 1)) if gaps else (0,)


def decode_picture(run_stage: RunStage, settings: DrawSettings, latents: np.ndarray) -> np.ndarray:
    """Latents (1, C, h, w) to an image (1, 3, H, W) in [0, 1], whole or by tiles."""
    if settings.tile is None:
        return run_stage("decode_image", latents=latents)["image"]
    tiles = (run_stage("decode_image", latents=each)["image"] for each in latent_tiles(settings, latents))
    return _joined(tiles, settings, settings.factor)


def encode_picture(run_stage: RunStage, settings: DrawSettings, image: np.ndarray) -> np.ndarray:
    """An image (1, 3, H, W) in [0, 1] to latents (1, C, h, w), whole or by tiles."""
    if settings.tile is None:
        return run_stage("encode_image", image=image)["latents"]
    tiles = (run_stage("encode_image", image=each)["latents"] for each in image_tiles(settings, image))
    return _joined(tiles, settings, 1)


def latent_tiles(settings: DrawSettings, latents: np.ndarray) -> Iterator[np.ndarray]:
    """What each call of `decode_image` takes of latents (1, C, h, w): tiles, row by row, or all of them."""
    return _crops(settings, latents, 1)


def image_tiles(settings: DrawSettings, image: np.ndarray) -> Iterator[np.ndarray]:
    """What each call of `encode_image` takes of an image (1, 3, H, W)."""
    return _crops(settings, image, settings.factor)


def tile_count(settings: DrawSettings) -> int:
    """The number of calls of `decode_image` per picture."""
    rows, columns = _starts(settings)
    return len(rows) * len(columns)


def _crops(settings: DrawSettings, array: np.ndarray, scale: int) -> Iterator[np.ndarray]:
    """Tiles of an array whose sides are `scale` times the latents'."""
    height, width = (scale * side for side in settings.tile or settings.latent_shape[2:])
    rows, columns = _starts(settings)
    for row, column in product(rows, columns):
        top, left = scale * row, scale * column
        yield np.ascontiguousarray(array[:, :, top : top + height, left : left + width])


def _starts(settings: DrawSettings) -> list[tuple[int, ...]]:
    """Where the tiles begin, along the height and the width."""
    whole = settings.latent_shape[2:]
    return [tile_starts(*sides) for sides in zip(whole, settings.tile or whole, strict=True)]


def _joined(tiles: Iterator[np.ndarray], settings: DrawSettings, scale: int) -> Floats:
    """Tiles, row by row, as one array whose sides are `scale` times the latents'."""
    rows, columns = _starts(settings)
    strips = (_chain(tiles, columns, scale, axis=3) for _ in rows)
    return _chain(strips, rows, scale, axis=2)


def _chain(parts: Iterator[np.ndarray], starts: tuple[int, ...], scale: int, axis: int) -> Floats:
    """The next parts, one for each start, along an axis; each fades in over what those in front of it have painted."""
    canvas = np.asarray(next(parts), np.float32)
    for start in starts[1:]:
        before, under = np.split(canvas, [start * scale], axis)
        over, after = np.split(np.asarray(next(parts), np.float32), [under.shape[axis]], axis)
        canvas = np.concatenate([before, _faded(under, over, axis), after], axis)
    return canvas


def _faded(under: Floats, over: Floats, axis: int) -> Floats:
    """From `under` to `over` along an axis of n positions: position i has i / n of `over`."""
    count = under.shape[axis]
    ramp = np.arange(count, dtype=np.float32) / np.float32(count)
    weight = ramp.reshape([count if each == axis else 1 for each in range(under.ndim)])
    return under * (np.float32(1) - weight) + over * weight
