"""Weights read from a package's file, and files that are damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from export.coreml.storage import RECORD, SENTINEL, mapped_weight
from mobile_diffusion.errors import ExportError

VALUES = np.arange(12, dtype=np.float16).reshape(3, 4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one record at byte 64 and its numbers at byte 128, as coremltools lays them out."""
    path = tmp_path / "weight.bin"
    record = RECORD.pack(SENTINEL, 1, VALUES.nbytes, 128)
    path.write_bytes(bytes(64) + record.ljust(64, b"\0") + VALUES.tobytes())
    return path


def test_the_numbers_are_those_of_the_file(file: Path) -> None:
    np.testing.assert_array_equal(mapped_weight(file, 64, np.float16, (3, 4)), VALUES)


def test_coremltools_writes_such_files(tmp_path: Path) -> None:
    from coremltools.libmilstoragepython import _BlobStorageWriter

    path = tmp_path / "weight.bin"
    writer = _BlobStorageWriter(str(path))
    offsets = [
        writer.write_fp16_data(VALUES.reshape(-1).view(np.uint16)),
        writer.write_float_data(np.ones(3, np.float32)),
    ]
    del writer
    np.testing.assert_array_equal(mapped_weight(path, offsets[0], np.float16, (3, 4)), VALUES)
    np.testing.assert_array_equal(mapped_weight(path, offsets[1], np.float32, (3,)), np.ones(3))


@pytest.mark.parametrize("record", [0, 60, 1000])
def test_a_place_without_a_record_is_refused(record: int, file: Path) -> None:
    with pytest.raises(ExportError, match=rf"weight\.bin: expected a weight at byte {record}, got something else"):
        mapped_weight(file, record, np.float16, (3, 4))


def test_a_record_of_another_size_is_refused(file: Path) -> None:
    with pytest.raises(ExportError, match=r"expected 32 bytes of a weight at byte 64, got 24"):
        mapped_weight(file, 64, np.float16, (4, 4))


def test_a_file_that_ends_early_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="length"):
        mapped_weight(file, 64, np.float16, (3, 4))
    assert struct.calcsize(RECORD.format) == 24
