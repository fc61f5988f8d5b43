"""Keeps the weights out of a model while it is rewritten, then writes them straight from the network's memory.

A protobuf holds at most 2 GB, and every pass copies it.  The passes therefore see a skeleton, in which each large
weight is an input without a value.  `save` turns these inputs into initializers again.  A small model stores them in
the .onnx file; a large one stores them in a second file, page-aligned so that ONNX Runtime maps instead of reads them.
Tensors are written one at a time, so there is never a second copy of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxscript import ir

Weights = Mapping[str, ir.TensorProtocol]

LARGE_TENSOR = 2**16
"""Bytes above which an initializer counts as a weight; smaller ones (shapes, scales, biases) stay and can be folded."""
LARGE_MODEL = 2**27
"""Bytes of weights above which the weights get a file of their own."""
PAGE = 4096
"""Alignment in bytes of a tensor in that file: a page."""
DATA_SUFFIX = ".data"


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

    If there are more than LARGE_MODEL bytes of weights, they are stored in `<path>.data`.
    """
    names = [value.name for value in skeleton.graph.input if value.name in weights]
    own = [value for value in skeleton.graph.input if value.name not in weights]
    del skeleton.graph.input[:]
    skeleton.graph.input.extend(own)
    used = {name: weights[name] for name in names}
    if sum(tensor.nbytes for tensor in used.values()) > LARGE_MODEL:
        skeleton.graph.initializer.extend(_write(used, path.with_name(path.name + DATA_SUFFIX)))
    else:
        skeleton.graph.initializer.extend(_embed(used))
    onnx.save_model(skeleton, path)


def save_whole(model: onnx.ModelProto, path: Path) -> None:
    """Write a model with its weights to `path`; more than LARGE_MODEL bytes of weights go to `<path>.data`."""
    large = model.ByteSize() > LARGE_MODEL
    location = path.name + DATA_SUFFIX
    onnx.save_model(model, path, save_as_external_data=large, location=location, size_threshold=LARGE_TENSOR)


def _embed(weights: Weights) -> Iterator[onnx.TensorProto]:
    """Yield initializers that contain the values."""
    for name, tensor in weights.items():
        yield _initializer(name, tensor, raw_data=_array(tensor).tobytes())


def _write(weights: Weights, path: Path) -> Iterator[onnx.TensorProto]:
    """Write the values to the file at `path`, and yield initializers that refer to them by offset and length."""
    with path.open("wb") as stream:
        for name, tensor in weights.items():
            stream.write(bytes(-stream.tell() % PAGE))
            place = {"location": path.name, "offset": stream.tell(), "length": tensor.nbytes}
            stream.write(_array(tensor).data.cast("B"))
            entries = [onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in place.items()]
            external = onnx.TensorProto.DataLocation.EXTERNAL
            yield _initializer(name, tensor, data_location=external, external_data=entries)


def _initializer(name: str, tensor: ir.TensorProtocol, **content: Any) -> onnx.TensorProto:
    return onnx.TensorProto(name=name, data_type=tensor.dtype.value, dims=tensor.shape.numpy(), **content)


def _array(tensor: ir.TensorProtocol) -> np.ndarray:
    """Return the values in C order; torch transposes several times faster than numpy."""
    return torch.from_numpy(tensor.numpy()).contiguous().numpy()
