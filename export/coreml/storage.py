"""Weights of a saved package, read from its file when they are used.

coremltools reads every weight into memory, through several copies.  Here the file is mapped, and a weight costs
memory only while an operation works on it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mobile_diffusion.errors import ExportError

SENTINEL = 0xDEADBEEF
"""What the record in front of every weight begins with."""
RECORD = struct.Struct("<IIQQ")
"""Sentinel, type, bytes of data, and where in the file they are."""
MAPPED = {"fp16": np.float16, "fp32": np.float32}
"""Types, as MIL spells them, whose numbers lie in the file as numpy has them."""


def mapped_weight(file: Path, record: int, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers that the record at an offset of a weights file describes; pages are read when they are used.

    Raises:
        ExportError: no such record, or one of another size.
        OSError, ValueError: the file is absent, or ends before the numbers do.
    """
    with file.open("rb") as stream:
        stream.seek(record)
        found = stream.read(RECORD.size)
    if len(found) < RECORD.size or RECORD.unpack(found)[0] != SENTINEL:
        raise ExportError(f"{file.name}: expected a weight at byte {record}, got something else")
    _, _, size, start = RECORD.unpack(found)
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if size != wanted:
        raise ExportError(f"{file.name}: expected {wanted} bytes of a weight at byte {record}, got {size}")
    return np.memmap(file, dtype, "c", start, shape).view(np.ndarray)  # "c": torch takes writable arrays only


@contextmanager
def mapped_weights() -> Iterator[None]:
    """While it is open, coremltools' reader of programs maps the weights in float16 and float32.

    Replaced is `_load_value`, which gives a constant's value; all others are read as before.
    """
    from coremltools.converters.mil.frontend.milproto import load
    from coremltools.converters.mil.frontend.milproto.helper import proto_to_types
    from coremltools.converters.mil.mil import types

    read = load._load_value

    def read_or_map(context: Any, value: Any) -> Any:
        if value.WhichOneof("value") == "blobFileValue" and value.type.WhichOneof("type") == "tensorType":
            found = proto_to_types(value.type)
            dtype = types.builtin_to_string(found.get_primitive()) if types.is_tensor(found) else None
            if dtype in MAPPED:
                place = value.blobFileValue
                file = Path(context.weights_dir) / place.fileName.split("/")[-1]
                return mapped_weight(file, place.offset, MAPPED[dtype], found.get_shape())
        return read(context, value)

    load._load_value = read_or_map
    try:
        yield
    finally:
        load._load_value = read
