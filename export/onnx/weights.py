"""Keeps the weights out of a model while it is rewritten, then writes them straight from the network's memory.

A protobuf holds at most 2 GB, and every pass copies it.  The passes therefore see a skeleton, in which each large
weight is an input without a value.  `save` turns these inputs into initializers again.  A small model stores them in
the .onnx file; a large one stores them in further files, page-aligned so that ONNX Runtime maps instead of reads them.
No file is much larger than FILE_BYTES, because a browser reads a file into one buffer.  Tensors are written one at a
time, so there is never a second copy of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxscript import ir
from typing_extensions import Buffer

Weights = Mapping[str, ir.TensorProtocol]
Place = Mapping[str, str | int]
"""Location, offset and length of a tensor, as ONNX names them."""

LARGE_TENSOR = 2**16
"""Bytes above which an initializer counts as a weight; smaller ones (shapes, scales, biases) stay and can be folded."""
LARGE_MODEL = 2**27
"""Bytes of weights above which the weights get a file of their own."""
PAGE = 4096
"""Alignment in bytes of a tensor in that file: a page."""
DATA_SUFFIX = ".data"
FILE_BYTES = 2**28
"""Bytes at which a file of weights ends and the next one begins; a larger tensor has a file to itself.  A buffer of a
browser holds 2 GB."""


def detach(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    """Turn the large initializers into inputs, after the model's own inputs; returns their values by name."""
    graph = model.graph
    weights = {
        name: value.const_value
        for name, value in graph.initializers.items()
        if value.const_value is not None and value.const_value.nbytes > LARGE_TENSOR
    }
    for name in weights:
        value = graph.initializers.pop(name)
        value.const_value = None
        graph.inputs.append(value)
    return weights


def save(skeleton: onnx.ModelProto, weights: Weights, path: Path) -> None:
    """Turn the inputs that `detach` made into initializers again, and write the model to `path`.

    If there are more than LARGE_MODEL bytes of weights, they are stored in `<path>.data`, `<path>.data1` and so on.
    """
    names = [value.name for value in skeleton.graph.input if value.name in weights]
    own = [value for value in skeleton.graph.input if value.name not in weights]
    del skeleton.graph.input[:]
    skeleton.graph.input.extend(own)
    used = {name: weights[name] for name in names}
    if sum(tensor.nbytes for tensor in used.values()) > LARGE_MODEL:
        skeleton.graph.initializer.extend(_write(used, path))
    else:
        skeleton.graph.initializer.extend(_embed(used))
    onnx.save_model(skeleton, path)


def save_whole(model: onnx.ModelProto, path: Path) -> None:
    """Write a model with its weights to `path`; more than LARGE_MODEL bytes of weights go to files beside it."""
    if model.ByteSize() > LARGE_MODEL:
        with DataFiles(path) as files:
            for tensor in model.graph.initializer:
                if len(tensor.raw_data) > LARGE_TENSOR:
                    _set_place(tensor, files.add(tensor.raw_data))
    onnx.save_model(model, path)


class DataFiles:
    """The files of weights beside a model, written one tensor after another."""

    def __init__(self, model: Path) -> None:
        self._model, self._count, self._stream = model, 0, self._path(model, 0).open("wb")

    def __enter__(self) -> DataFiles:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def add(self, content: Buffer) -> Place:
        """Append a tensor's bytes; returns where they are."""
        size = memoryview(content).nbytes
        self._stream.write(bytes(-self._stream.tell() % PAGE))
        if self._stream.tell() > 0 and self._stream.tell() + size > FILE_BYTES:
            self._stream.close()
            self._count += 1
            self._stream = self._path(self._model, self._count).open("wb")
        place: Place = {"location": Path(self._stream.name).name, "offset": self._stream.tell(), "length": size}
        self._stream.write(content)
        return place

    @staticmethod
    def _path(model: Path, number: int) -> Path:
        return model.with_name(f"{model.name}{DATA_SUFFIX}{number or ''}")


def _embed(weights: Weights) -> Iterator[onnx.TensorProto]:
    """Yield initializers that contain the values."""
    for name, tensor in weights.items():
        yield _initializer(name, tensor, raw_data=_array(tensor).tobytes())


def _write(weights: Weights, path: Path) -> Iterator[onnx.TensorProto]:
    """Write the values to files beside the model at `path`, and yield initializers that refer to them."""
    with DataFiles(path) as files:
        for name, tensor in weights.items():
            initializer = _initializer(name, tensor)
            _set_place(initializer, files.add(_array(tensor).data.cast("B")))
            yield initializer


def _set_place(tensor: onnx.TensorProto, place: Place) -> None:
    """Let an initializer refer to a file instead of holding its values."""
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.DataLocation.EXTERNAL
    tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in place.items())


def _initializer(name: str, tensor: ir.TensorProtocol, **content: Any) -> onnx.TensorProto:
    return onnx.TensorProto(name=name, data_type=tensor.dtype.value, dims=tensor.shape.numpy(), **content)


def _array(tensor: ir.TensorProtocol) -> np.ndarray:
    """Return the values in C order; torch transposes several times faster than numpy."""
    return torch.from_numpy(tensor.numpy()).contiguous().numpy()
