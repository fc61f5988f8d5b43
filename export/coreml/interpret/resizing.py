"""MIL's operations that change the size of pictures: by factors, to sizes, or by turning pixels into channels.

Linear interpolation works on one axis after another, at the places that MIL's documentation of `resize_bilinear` gives
for each sampling mode.  Parameters have MIL's names.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from export.coreml.interpret.attributes import integers, number_or
from export.coreml.interpret.instruction import Operation

Points = Callable[[int, int], Tensor]
"""Takes an axis's old and new size; returns the places (new size,) where it is sampled, in float64."""


def strict_corners(size: int, target: int) -> Tensor:
    """Places such that the first and the last sample are the first and the last number."""
    return torch.arange(target, dtype=torch.float64) * ((size - 1) / max(target - 1, 1))


def corners(size: int, target: int) -> Tensor:
    """Like `strict_corners`, but the middle if there is only one place."""
    return torch.full((1,), (size - 1) / 2, dtype=torch.float64) if target == 1 else strict_corners(size, target)


def plain(size: int, target: int) -> Tensor:
    """Multiples of size / target."""
    return torch.arange(target, dtype=torch.float64) * (size / target)


def offset_corners(size: int, target: int) -> Tensor:
    """Multiples of (size - 1) / target, shifted by half of it."""
    return (torch.arange(target, dtype=torch.float64) + 0.5) * (max(1, size - 1) / target)


def half_pixels(size: int, target: int) -> Tensor:
    """The centers of the new pixels, in the coordinates of the old pixels' centers."""
    return (torch.arange(target, dtype=torch.float64) + 0.5) * (size / target) - 0.5


SAMPLING: dict[str, Points] = {
    "ALIGN_CORNERS": corners,
    "DEFAULT": plain,
    "OFFSET_CORNERS": offset_corners,
    "STRICT_ALIGN_CORNERS": strict_corners,
    "UNALIGN_CORNERS": half_pixels,
}
INTERPOLATIONS = frozenset({"LINEAR", "NEAREST_NEIGHBOR"})


def linear_axis(x: Tensor, axis: int, points: Tensor) -> Tensor:
    """Return x interpolated along an axis; places outside have the number at the border."""
    places = points.clamp(0, x.shape[axis] - 1)
    below = places.floor().long().clamp(max=max(x.shape[axis] - 2, 0))
    above = (below + 1).clamp(max=x.shape[axis] - 1)
    shape = [1] * x.dim()
    shape[axis] = -1
    share = (places - below).float().reshape(shape)
    return x.index_select(axis, below) * (1 - share) + x.index_select(axis, above) * share


def bilinear(x: Tensor, sizes: list[int], points: Points) -> Tensor:
    """Return x with its last axes resized by linear interpolation."""
    for axis, size in enumerate(sizes, start=x.dim() - len(sizes)):
        x = linear_axis(x, axis, points(x.shape[axis], size))
    return x


def nearest(x: Tensor, sizes: list[int]) -> Tensor:
    """Return x with its last axes resized; number i comes from the place floor(i size / target)."""
    for axis, size in enumerate(sizes, start=x.dim() - len(sizes)):
        places = torch.arange(size) * x.shape[axis] // size
        x = x.index_select(axis, places)
    return x


def upsample_bilinear(
    x: Tensor,
    scale_factor_height: Tensor | None = None,
    scale_factor_width: Tensor | None = None,
    align_corners: Tensor | None = None,
    half_pixel_centers: Tensor | None = None,
) -> Tensor:
    """Linear interpolation: (..., h, w) -> (..., floor(h fh), floor(w fw))."""
    factors = (number_or(scale_factor_height, 1.0), number_or(scale_factor_width, 1.0))
    sizes = [int(size * factor) for size, factor in zip(x.shape[-2:], factors, strict=True)]
    if align_corners is None or bool(align_corners):
        return bilinear(x, sizes, strict_corners)
    return bilinear(x, sizes, half_pixels if half_pixel_centers is None or bool(half_pixel_centers) else plain)


def resize_bilinear(
    x: Tensor,
    target_size_height: Tensor | None = None,
    target_size_width: Tensor | None = None,
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """Linear interpolation to a size, (..., h, w) -> (..., H, W)."""
    sizes = [int(number_or(each, 1)) for each in (target_size_height, target_size_width)]
    return bilinear(x, sizes, SAMPLING[sampling_mode])


def resize(
    x: Tensor,
    shape: Tensor,
    resized_dims: Tensor,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """x with its last axes resized to the last entries of `shape`; 0 keeps a size."""
    count = int(resized_dims)
    wanted = integers(shape)[-count:]
    sizes = [size or known for size, known in zip(wanted, x.shape[-count:], strict=True)]
    if interpolation_mode == "NEAREST_NEIGHBOR":
        return nearest(x, sizes)
    return bilinear(x, sizes, SAMPLING[sampling_mode])


def resize_nearest_neighbor(x: Tensor, target_size_height: Tensor, target_size_width: Tensor) -> Tensor:
    """Nearest-neighbor resizing to a size: (..., h, w) -> (..., H, W)."""
    return nearest(x, [int(target_size_height), int(target_size_width)])


def upsample_nearest_neighbor(
    x: Tensor, scale_factor_height: Tensor | None = None, scale_factor_width: Tensor | None = None
) -> Tensor:
    """Repeated pixels: (..., h, w) -> (..., h fh, w fw); `CHECKS` rejects factors that are not whole."""
    height, width = int(number_or(scale_factor_height, 1)), int(number_or(scale_factor_width, 1))
    *leading, rows, columns = x.shape
    tiled = x[..., :, None, :, None].expand(*leading, rows, height, columns, width)
    return tiled.reshape(*leading, rows * height, columns * width)


def pixel_shuffle(x: Tensor, upscale_factor: Tensor) -> Tensor:
    """Channels become pixels of a finer grid: (B, C f^2, h, w) -> (B, C, h f, w f)."""
    return F.pixel_shuffle(x, int(upscale_factor))


def pixel_unshuffle(x: Tensor, downscale_factor: Tensor) -> Tensor:
    """Pixels become channels of a coarser grid: (B, C, h f, w f) -> (B, C f^2, h, w)."""
    return F.pixel_unshuffle(x, int(downscale_factor))


def depth_to_space(x: Tensor, block_size: Tensor) -> Tensor:
    """Like `pixel_shuffle`, but the place is the channels' outer index: (B, f^2 C, h, w) -> (B, C, h f, w f)."""
    batch, channels, height, width = x.shape
    size = int(block_size)
    parts = x.reshape(batch, size, size, channels // size**2, height, width)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // size**2, height * size, width * size)


def space_to_depth(x: Tensor, block_size: Tensor) -> Tensor:
    """Like `pixel_unshuffle`, but the place is the channels' outer index: (B, C, h f, w f) -> (B, f^2 C, h, w)."""
    batch, channels, height, width = x.shape
    size = int(block_size)
    parts = x.reshape(batch, channels, height // size, size, width // size, size)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * size**2, height // size, width // size)


def crop(x: Tensor, crop_height: Tensor, crop_width: Tensor) -> Tensor:
    """x without some rows at the top and bottom and some columns at the left and right."""
    (top, bottom), (left, right) = integers(crop_height), integers(crop_width)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


RESIZING: dict[str, Operation] = {
    "resize": resize,
    "resize_bilinear": resize_bilinear,
    "upsample_bilinear": upsample_bilinear,
}
"""Operations that compute new numbers."""
REPLACING: dict[str, Operation] = {
    "crop": crop,
    "depth_to_space": depth_to_space,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "resize_nearest_neighbor": resize_nearest_neighbor,
    "space_to_depth": space_to_depth,
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
}
"""Operations that only move numbers."""
