"""Packs numbers of few bits as Core AI stores them, unpacks them, and decodes weights.

Numbers fill the bits of a stream from the lowest bit of each byte on, so that 3 and 6 bits cross bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BYTE = 8
CHUNK = 2**20
"""Numbers that are unpacked into single bits at once; a multiple of 8."""
Halves = NDArray[np.float16]


def pack_bits(numbers: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Return whole numbers of any shape as a stream of bytes; negative ones in two's complement."""
    flat = numbers.reshape(-1).astype(np.int8).view(np.uint8)
    parts = [_packed(flat[start : start + CHUNK], bits) for start in range(0, flat.size, CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def _packed(numbers: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    single = np.unpackbits(numbers[:, None], axis=1, count=bits, bitorder="little")  # (n, bits)
    return np.packbits(single.reshape(-1), bitorder="little")


def unpack_bits(data: NDArray[np.uint8], count: int, bits: int, signed: bool) -> NDArray[np.integer]:
    """Return `count` whole numbers from a stream of bytes: int8 if signed, otherwise uint8."""
    step = CHUNK * bits // BYTE
    parts = [_unpacked(data[start : start + step], bits) for start in range(0, data.size, step)]
    numbers = np.concatenate(parts)[:count]
    if not signed:
        return numbers
    half = 1 << (bits - 1)
    return ((numbers.astype(np.int16) ^ half) - half).astype(np.int8)  # extends the sign


def _unpacked(data: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    stream = np.unpackbits(data, bitorder="little")
    single = stream[: stream.size // bits * bits].reshape(-1, bits)  # (n, bits)
    return np.packbits(single, axis=1, bitorder="little")[:, 0]


def decode_palette(codes: NDArray[np.uint8], table: Halves, axis: int) -> Halves:
    """Return the weight of indices and tables (g0, ..., entries, vector); an index stands for numbers along `axis`."""
    groups = table.shape[:-2]
    flat = table.reshape(-1, *table.shape[-2:])  # (groups, entries, vector)
    places = np.zeros(codes.shape, np.int64)
    for number, (size, count) in enumerate(zip(codes.shape, groups, strict=True)):
        shape = [1] * codes.ndim
        shape[number] = size
        places = places * count + (np.arange(size) // (size // count)).reshape(shape)
    vectors = flat[places, codes]  # (..., vector)
    moved = np.moveaxis(vectors, -1, axis + 1)
    shape = list(codes.shape)
    shape[axis] *= table.shape[-1]
    return np.ascontiguousarray(moved.reshape(shape))


def decode_integers(codes: NDArray[np.int8], scale: Halves) -> Halves:
    """Return the weight of integers and scales, whose shape divides that of the integers."""
    wide = scale.astype(np.float32)
    for axis, (size, count) in enumerate(zip(codes.shape, scale.shape, strict=True)):
        wide = wide.repeat(size // count, axis)
    return (codes.astype(np.float32) * wide).astype(np.float16)
