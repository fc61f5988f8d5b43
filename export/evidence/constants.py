"""Names the first constant in which two programs of one runtime differ, and the number in it.

Every format has its own names: ONNX and Core ML name a constant after the parameter of the torch module, Core AI says
which module reads it, and XNNPACK only has the order in which its graph needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Constants = Iterator[tuple[str, NDArray[Any]]]
NONE: tuple[str, NDArray[Any]] = ("no constant", np.zeros(0))


def first_difference(runtime: str, expected: Path, got: Path) -> tuple[str, str, str] | None:
    """The place of the first number that differs, what is expected there, and what was got; None if none differs.

    Raises `ExportError` if a program cannot be read.
    """
    if runtime not in READERS:
        return None
    read = READERS[runtime]
    for (name, wanted), (other, found) in zip_longest(read(expected), read(got), fillvalue=NONE):
        if (name, wanted.shape, wanted.dtype) != (other, found.shape, found.dtype):
            return name, _kind(name, wanted), _kind(other, found)
        differing = np.flatnonzero(_bits(wanted) != _bits(found))
        if differing.size:
            index = np.unravel_index(int(differing[0]), wanted.shape)
            more = f" and {differing.size - 1} more" if differing.size > 1 else ""
            place = f"{name}[{', '.join(map(str, index))}]{more}"
            return place, str(wanted[index]), str(found[index])
    return None


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    """The numbers of an array, flat, as unsigned integers of their width: so NaN equals itself, and -0.0 is not 0.0."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}").reshape(-1)


def _kind(name: str, array: NDArray[Any]) -> str:
    return f"{name} {array.dtype}{list(array.shape)}"


def _onnx(path: Path) -> Constants:
    import onnx
    from onnx import numpy_helper

    from export.onnx.reading import open_model

    for each in open_model(path).graph.initializer:
        if each.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.STRING):
            yield each.name, np.frombuffer(each.raw_data, np.uint8)
        else:
            yield each.name, numpy_helper.to_array(each, str(path.parent))


def _xnnpack(path: Path) -> Constants:
    from export.executorch.constants import constants_of

    return constants_of(path)


def _coreml(path: Path) -> Constants:
    from export.coreml.interpret import Program

    for name, value in Program.open(path, infinite_constants=True).each_constant():
        if isinstance(value, Tensor):
            yield name, value.numpy()


def _coreai(path: Path) -> Constants:
    from export.coreai.constants import constants_of

    return constants_of(path)


READERS: dict[str, Callable[[Path], Constants]] = {
    "onnx": _onnx,
    "xnnpack": _xnnpack,
    "coreml": _coreml,
    "coreai": _coreai,
}
"""Runtime -> what reads the constants of one of its programs, in the program's order."""
