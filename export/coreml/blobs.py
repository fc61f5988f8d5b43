"""The weights file of a Core ML package: records of numbers, read by mapping and written one at a time.

A file begins with a header (the number of records, version 2); every record is a description of 64 bytes followed by
its numbers, both at multiples of 64 bytes.  Types of fewer than eight bits are packed, lowest bits first.  Programs
name a record by the offset of its description.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.errors import ExportError

SENTINEL = 0xDEADBEEF
"""What the description of every record begins with."""
DESCRIPTION = struct.Struct("<IIQQQ32x")
"""Sentinel, type, bytes of numbers, where in the file they are, bits of padding at their end."""
HEADER = struct.Struct("<II56x")
"""Records, version."""
VERSION = 2
ALIGNMENT = 64
PART = 2**18
"""Numbers that are packed at once: a few megabytes of memory, a multiple of eight."""
NUMPY_TYPES = {
    1: np.float16,
    2: np.float32,
    3: np.uint8,
    4: np.int8,
    6: np.int16,
    7: np.uint16,
    14: np.int32,
    15: np.uint32,
}
"""Types whose numbers lie in the file as numpy has them."""
PACKED_BITS = {8: 4, 9: 1, 10: 2, 11: 4, 12: 3, 13: 6}
"""Types of fewer than eight bits."""
SIGNED = frozenset({8})
"""Packed types with a sign, in two's complement."""
BLOB_TYPES = {
    "fp16": 1,
    "fp32": 2,
    "uint8": 3,
    "int8": 4,
    "int16": 6,
    "uint16": 7,
    "int4": 8,
    "uint1": 9,
    "uint2": 10,
    "uint4": 11,
    "uint3": 12,
    "uint6": 13,
    "int32": 14,
    "uint32": 15,
}
"""MIL's names of the types to the numbers in a description."""


@dataclass(frozen=True)
class Record:
    """One entry of a weights file."""

    file: Path
    kind: int
    """Number of its type (BLOB_TYPES)."""
    size: int
    """Bytes."""
    start: int
    """Where its bytes are."""
    padding_bits: int

    @property
    def count(self) -> int:
        """Numbers in it."""
        if self.kind in PACKED_BITS:
            return (self.size * 8 - self.padding_bits) // PACKED_BITS[self.kind]
        return self.size // np.dtype(NUMPY_TYPES[self.kind]).itemsize

    def bytes(self) -> NDArray[np.uint8]:
        """Its bytes, mapped: (size,)."""
        if not self.size:
            return np.zeros(0, np.uint8)
        mapped = np.memmap(self.file, np.uint8, "c", self.start, self.size)  # "c": torch takes writable arrays only
        return mapped.view(np.ndarray)

    def numbers(self) -> NDArray[np.generic]:
        """Its numbers (count,): mapped, or unpacked to int8 or uint8."""
        if self.kind in PACKED_BITS:
            return unpack(self.bytes(), PACKED_BITS[self.kind], self.count, self.kind in SIGNED)
        return self.bytes().view(NUMPY_TYPES[self.kind])


def read_record(file: Path, offset: int) -> Record:
    """The record whose description is at an offset.

    Raises:
        ExportError: the file is absent or shorter than it says, or there is no record at the offset.
    """
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            found = stream.read(DESCRIPTION.size)
            length = stream.seek(0, 2)
    except OSError as error:
        raise ExportError(f"{file}: expected a file of weights, got {error.strerror}; export again") from None
    if len(found) < DESCRIPTION.size or DESCRIPTION.unpack(found)[0] != SENTINEL:
        raise ExportError(f"{file}: expected a weight at byte {offset}, got something else; export the package again")
    _, kind, size, start, padding = DESCRIPTION.unpack(found)
    if kind not in NUMPY_TYPES and kind not in PACKED_BITS:
        raise ExportError(f"{file}: expected a known type of weight at byte {offset}, got number {kind}")
    if start + size > length:
        raise ExportError(f"{file}: expected {start + size} bytes, got {length}: it is truncated; export again")
    return Record(file, kind, size, start, padding)


def pack(numbers: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Small integers (count,) as a stream of so many bits each, lowest first, in whole bytes."""
    values = numbers.reshape(-1).astype(np.uint8)
    stream = np.empty(-(-values.size // 8) * bits, np.uint8)
    for start in range(0, values.size, PART):
        part = _eight_in_a_word(values[start : start + PART], bits)
        stream[start // 8 * bits :][: part.size] = part
    return stream[: -(-values.size * bits // 8)]


def _eight_in_a_word(values: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Numbers of fewer than eight bits (count,), eight to as many bytes as they have bits."""
    padded = np.zeros(-(-values.size // 8) * 8, np.uint8)
    padded[: values.size] = values & (2**bits - 1)
    eights = padded.reshape(-1, 8)
    words = np.zeros(len(eights), "<u8")
    for place in range(8):
        words |= eights[:, place].astype(np.uint64) << np.uint64(bits * place)
    return words.view(np.uint8).reshape(-1, 8)[:, :bits].reshape(-1)


def unpack(stream: NDArray[np.uint8], bits: int, count: int, signed: bool = False) -> NDArray[np.generic]:
    """What `pack` was given: uint8 (count,), or int8 when signed."""
    values = np.empty(count, np.uint8)
    for start in range(0, count, PART):
        size = min(PART, count - start)
        values[start : start + size] = _eight_of_a_word(stream[start // 8 * bits :], bits, size)
    if not signed:
        return values
    half = 2 ** (bits - 1)
    return ((values.astype(np.int16) ^ half) - half).astype(np.int8)


def _eight_of_a_word(stream: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """The first numbers (count,) of a stream of `_eight_in_a_word`."""
    groups, size = -(-count // 8), -(-count * bits // 8)
    data = np.zeros(groups * bits, np.uint8)
    data[:size] = stream[:size]
    wide = np.zeros((groups, 8), np.uint8)
    wide[:, :bits] = data.reshape(groups, bits)
    words, mask = wide.reshape(-1).view("<u8"), np.uint64(2**bits - 1)
    values = np.empty((groups, 8), np.uint8)
    for place in range(8):
        values[:, place] = (words >> np.uint64(bits * place)) & mask
    return values.reshape(-1)[:count]


class RecordWriter:
    """Writes a weights file, a record at a time; use it in a `with` block, which completes the header."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.records = 0
        self.stream: BinaryIO = file.open("wb")
        self.stream.write(HEADER.pack(0, VERSION))

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.seek(0)
        self.stream.write(HEADER.pack(self.records, VERSION))
        self.stream.close()

    def append(self, dtype: str, numbers: NDArray[np.generic]) -> int:
        """Write numbers as a type of BLOB_TYPES; returns the offset of the record."""
        kind = BLOB_TYPES[dtype]
        if kind in PACKED_BITS:
            stream = pack(numbers, PACKED_BITS[kind])
            return self._append(kind, stream, stream.size * 8 - numbers.size * PACKED_BITS[kind])
        values = np.ascontiguousarray(numbers, NUMPY_TYPES[kind])
        return self._append(kind, values.reshape(-1).view(np.uint8), 0)

    def copy(self, record: Record) -> int:
        """Write a record of another file as it is; returns its offset here."""
        return self._append(record.kind, record.bytes(), record.padding_bits)

    def _append(self, kind: int, data: NDArray[np.uint8], padding_bits: int) -> int:
        offset = self._aligned()
        self.stream.write(DESCRIPTION.pack(SENTINEL, kind, data.size, offset + DESCRIPTION.size, padding_bits))
        self.stream.write(data.data)
        self.records += 1
        return offset

    def _aligned(self) -> int:
        place = self.stream.tell()
        self.stream.write(b"\0" * (-place % ALIGNMENT))
        return self.stream.tell()
