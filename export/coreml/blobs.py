"""Reads and writes the weights file of a Core ML package: maps records to read them, and writes one record at a time.

The file starts with a header (number of records, version 2).  Each record is a description of 64 bytes followed by its
numbers; both start at multiples of 64 bytes.  Types of fewer than eight bits are packed, lowest bits first.  Programs
refer to a record by the offset of its description.
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
"""The first field of each record's description."""
DESCRIPTION = struct.Struct("<IIQQQ32x")
"""Sentinel, type, size of the numbers in bytes, their offset in the file, bits of padding at their end."""
HEADER = struct.Struct("<II56x")
"""Number of records, version."""
VERSION = 2
ALIGNMENT = 64
PART = 2**18
"""Numbers that are packed at once; a multiple of eight, and a few megabytes of memory."""
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
"""numpy dtypes of the types that are not packed."""
PACKED_BITS = {8: 4, 9: 1, 10: 2, 11: 4, 12: 3, 13: 6}
"""Bits per number of the packed types."""
SIGNED = frozenset({8})
"""Packed types that are signed (two's complement)."""
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
"""Maps MIL's names of types to their numbers in a description."""


@dataclass(frozen=True)
class Record:
    """One entry of a weights file."""

    file: Path
    kind: int
    """Number of the type (BLOB_TYPES)."""
    size: int
    """Size of the numbers in bytes."""
    start: int
    """Offset of the numbers in the file."""
    padding_bits: int

    @property
    def count(self) -> int:
        """How many numbers the record has."""
        if self.kind in PACKED_BITS:
            return (self.size * 8 - self.padding_bits) // PACKED_BITS[self.kind]
        return self.size // np.dtype(NUMPY_TYPES[self.kind]).itemsize

    def bytes(self) -> NDArray[np.uint8]:
        """Return the record's bytes (size,), mapped."""
        if not self.size:
            return np.zeros(0, np.uint8)
        mapped = np.memmap(self.file, np.uint8, "c", self.start, self.size)  # "c": torch needs writable arrays
        return mapped.view(np.ndarray)

    def numbers(self) -> NDArray[np.generic]:
        """Return the record's numbers (count,): mapped, or unpacked to int8 or uint8."""
        if self.kind in PACKED_BITS:
            return unpack(self.bytes(), PACKED_BITS[self.kind], self.count, self.kind in SIGNED)
        return self.bytes().view(NUMPY_TYPES[self.kind])


def read_record(file: Path, offset: int) -> Record:
    """Return the record whose description is at an offset.

    Raises:
        ExportError: the file is missing or truncated, or there is no record at the offset.
    """
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            found = stream.read(DESCRIPTION.size)
            length = stream.seek(0, 2)
    except OSError as error:
        raise ExportError(f"{file}: expected a weights file, got {error.strerror}; export again") from None
    if len(found) < DESCRIPTION.size or DESCRIPTION.unpack(found)[0] != SENTINEL:
        raise ExportError(f"{file}: expected a weight at byte {offset}, got something else; export the package again")
    _, kind, size, start, padding = DESCRIPTION.unpack(found)
    if kind not in NUMPY_TYPES and kind not in PACKED_BITS:
        raise ExportError(f"{file}: expected a known type of weight at byte {offset}, got number {kind}")
    if start + size > length:
        raise ExportError(f"{file}: expected {start + size} bytes, got {length}: it is truncated; export again")
    return Record(file, kind, size, start, padding)


def pack(numbers: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Return small integers (count,) packed into bytes with `bits` bits each, lowest bits first."""
    values = numbers.reshape(-1).astype(np.uint8)
    stream = np.empty(-(-values.size // 8) * bits, np.uint8)
    for start in range(0, values.size, PART):
        part = _eight_in_a_word(values[start : start + PART], bits)
        stream[start // 8 * bits :][: part.size] = part
    return stream[: -(-values.size * bits // 8)]


def _eight_in_a_word(values: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pack numbers of fewer than eight bits (count,): eight numbers into `bits` bytes."""
    padded = np.zeros(-(-values.size // 8) * 8, np.uint8)
    padded[: values.size] = values & (2**bits - 1)
    eights = padded.reshape(-1, 8)
    words = np.zeros(len(eights), "<u8")
    for place in range(8):
        words |= eights[:, place].astype(np.uint64) << np.uint64(bits * place)
    return words.view(np.uint8).reshape(-1, 8)[:, :bits].reshape(-1)


def unpack(stream: NDArray[np.uint8], bits: int, count: int, signed: bool = False) -> NDArray[np.generic]:
    """Return the numbers that `pack` packed: uint8 (count,), or int8 if `signed`."""
    values = np.empty(count, np.uint8)
    for start in range(0, count, PART):
        size = min(PART, count - start)
        values[start : start + size] = _eight_of_a_word(stream[start // 8 * bits :], bits, size)
    if not signed:
        return values
    half = 2 ** (bits - 1)
    return ((values.astype(np.int16) ^ half) - half).astype(np.int8)


def _eight_of_a_word(stream: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """Return the first numbers (count,) that `_eight_in_a_word` packed."""
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
    """Writes a weights file one record at a time; a context manager that completes the header on exit."""

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
        """Write numbers as a type of BLOB_TYPES; returns the offset of the record's description."""
        kind = BLOB_TYPES[dtype]
        if kind in PACKED_BITS:
            stream = pack(numbers, PACKED_BITS[kind])
            return self._append(kind, stream, stream.size * 8 - numbers.size * PACKED_BITS[kind])
        values = np.ascontiguousarray(numbers, NUMPY_TYPES[kind])
        return self._append(kind, values.reshape(-1).view(np.uint8), 0)

    def copy(self, record: Record) -> int:
        """Copy a record of another file; returns its offset in this file."""
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
