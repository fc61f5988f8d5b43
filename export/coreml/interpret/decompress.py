"""Decompresses weights: MIL's `constexpr` operations with tables, scales and masks.

The functions are pure, and have MIL's names and parameters.  iOS 16 stores indices and masks as packed bytes with a
separate shape.  iOS 18 stores arrays of small types, which `blobs.py` has unpacked already.  Products are computed in
float32 and rounded once, to the type of their scale.
Sources: coremltools.converters.mil.mil.ops.defs, iOS16/constexpr_ops.py and iOS18/compression.py (documentation).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.coreml.blobs import unpack
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

Array = NDArray[Any]


def affine_dequantize(quantized_data: Array, zero_point: Array, scale: Array, axis: Array) -> Array:
    """Return scale (q - zero_point); scale and zero point are one number each, or one per entry of an axis."""
    shape = [1] * quantized_data.ndim
    shape[int(axis)] = -1
    factor, zero = (each.astype(np.float32).reshape(shape if each.ndim else ()) for each in (scale, zero_point))
    return scaled(quantized_data, factor, zero, scale.dtype)


def scaled(data: Array, scale: Any, offset: Any, dtype: Any) -> Array:
    """Return scale (data - offset), computed in float32 and rounded to `dtype`."""
    value = data.astype(np.float32)
    if offset is not None:
        value -= offset
    value *= scale
    return value.astype(dtype)


def blockwise_shift_scale(data: Array, scale: Array, offset: Array | None = None) -> Array:
    """Return scale (data - offset) with one scale and offset per block: data (n, ...), scale (n / block, ...)."""
    split = blocks(data.shape, scale.shape)
    value = data.reshape(split)
    pair = [None if each is None else each.astype(np.float32).reshape(beside(scale.shape)) for each in (scale, offset)]
    return scaled(value, pair[0], pair[1], scale.dtype).reshape(data.shape)


def blocks(shape: tuple[int, ...], groups: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape (n0, n1, ...) divided into g0, g1, ... groups: (g0, n0 / g0, g1, n1 / g1, ...).

    Raises:
        ExportError: the groups do not divide the shape.
    """
    if len(shape) != len(groups) or any(size % group for size, group in zip(shape, groups, strict=True)):
        raise ExportError(f"compressed weight: expected groups that divide {shape}, got {groups}; compress it again")
    return tuple(part for size, group in zip(shape, groups, strict=True) for part in (group, size // group))


def beside(groups: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which numbers per group broadcast against `blocks`: (g0, 1, g1, 1, ...)."""
    return tuple(part for group in groups for part in (group, 1))


def lut_to_dense(indices: Array, lut: Array, shape: Array | None = None, vector_axis: Array | None = None) -> Array:
    """Look up numbers in tables: iOS 16 has packed indices (M,) of one table (N,), iOS 18 has one table per group."""
    if shape is None:
        return grouped_lut(indices, lut, 0 if vector_axis is None else int(vector_axis))
    count, bits = math.prod(int(size) for size in shape), table_bits(lut.size)
    return lut[unpack(indices, bits, count) if bits < 8 else indices].reshape([int(size) for size in shape])


def table_bits(entries: int) -> int:
    """Return the bits of an index into a table; raises `ExportError` unless the size is a power of two up to 256."""
    bits = entries.bit_length() - 1
    if not 1 <= bits <= 8 or 2**bits != entries:
        raise ExportError(f"compressed weight: expected a table of 2 to 256 entries, got {entries}; compress it again")
    return bits


def grouped_lut(indices: Array, lut: Array, axis: int) -> Array:
    """Look up indices (n0, n1, ...) in lut (g0, g1, ..., entries, vector) -> (n0, ..., n_axis * vector, ...).

    The vectors of a table are along `axis` of the result.
    """
    groups, (entries, length) = lut.shape[:-2], lut.shape[-2:]
    table = np.arange(math.prod(groups), dtype=np.int32).reshape(beside(groups)) * entries  # (g0, 1, g1, 1, ...)
    split = blocks(indices.shape, groups)
    rows = lut.reshape(-1, length)  # (groups * entries, vector)
    if table.size > 1:
        indices = (indices.reshape(split) + table).reshape(indices.shape)
    if length == 1:
        return rows[:, 0][indices]
    found = np.moveaxis(rows[indices], -1, axis % indices.ndim + 1)  # (..., n_axis, vector, ...)
    shape = list(indices.shape)
    shape[axis] *= length
    return np.ascontiguousarray(found).reshape(shape)


def sparse_to_dense(nonzero_data: Array, mask: Array, shape: Array | None = None) -> Array:
    """Return the numbers where the mask is 1, else 0.

    iOS 16 stores the mask as packed bytes (M,), iOS 18 in the result's shape.  Raises `ExportError` unless the mask has
    as many ones as there are numbers.
    """
    sizes = mask.shape if shape is None else tuple(int(size) for size in shape)
    set_ = mask.reshape(-1) if shape is None else unpack(mask, 1, math.prod(sizes))
    if np.count_nonzero(set_) != nonzero_data.size:
        got = f"{np.count_nonzero(set_)} places for {nonzero_data.size} numbers"
        raise ExportError(f"compressed weight: expected a mask with one place per number, got {got}; compress it again")
    dense = np.zeros(set_.size, nonzero_data.dtype)
    dense[set_ != 0] = nonzero_data
    return dense.reshape(sizes)


def lut_to_sparse(
    indices_mask: Array, indices_nonzero_data: Array, lut: Array, vector_axis: Array | None = None
) -> tuple[Array, Array]:
    """Return mask and non-zero numbers of a weight whose non-zero numbers are indices into tables."""
    indices = sparse_to_dense(indices_nonzero_data, indices_mask)
    dense = lut_to_dense(indices, lut, None, vector_axis)
    axis = 0 if vector_axis is None else int(vector_axis)
    mask = np.repeat(indices_mask, lut.shape[-1], axis)
    return mask, dense[mask != 0]


def sparse_blockwise_shift_scale(
    data_mask: Array, nonzero_data: Array, scale: Array, offset: Array | None = None
) -> tuple[Array, Array]:
    """Return mask and non-zero numbers of a weight whose non-zero numbers have one scale per block."""
    dense = blockwise_shift_scale(sparse_to_dense(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask != 0]


def cast(source_val: Array, output_dtype: str) -> Array:
    """Return a float16 constant as float32."""
    if output_dtype != "fp32":
        raise ExportError(f"constexpr_cast: expected output_dtype to be 'fp32', got {quoted(output_dtype)}")
    return source_val.astype(np.float32)


DECOMPRESSIONS: dict[str, Callable[..., Array | tuple[Array, ...]]] = {
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_blockwise_shift_scale": blockwise_shift_scale,
    "constexpr_cast": cast,
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_lut_to_sparse": lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": sparse_blockwise_shift_scale,
    "constexpr_sparse_to_dense": sparse_to_dense,
}
