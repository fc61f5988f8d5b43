"""The weights of a model: kept out of it while it is rewritten, then written straight from the network's memory.

A protobuf holds at most 2 GB, and every pass over one copies it.  So the passes see a skeleton, in which each large
weight is an input without a value.  At the end a weight is an initializer again: in the file itself for a small model,
else in one file beside it, a tensor at a time and each at a page's start, where ONNX Runtime maps it instead of reading
it.  No second copy of the weights is held.
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
"""Bytes above which an initializer is a weight; below are shapes, scales, biases and tables, which passes fold."""
LARGE_MODEL = 2**27
"""Bytes of weights above which they get a file of their own."""
PAGE = 4096
"""Alignment of a tensor in that file: that of a mapping on every phone."""
DATA_SUFFIX = ".data"


def detach(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    """Turn the large initializers into inputs, after the model's own; returns their values by name."""
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

    A model with more than LARGE_MODEL bytes of weights has them in `<path>.data`.
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
    """Write a model that holds its weights to `path`, and more than LARGE_MODEL bytes of them beside it."""
    large = model.ByteSize() > LARGE_MODEL
    location = path.name + DATA_SUFFIX
    onnx.save_model(model, path, save_as_external_data=large, location=location, size_threshold=LARGE_TENSOR)


def _embed(weights: Weights) -> Iterator[onnx.TensorProto]:
    """Initializers that hold the values."""
    for name, tensor in weights.items():
        yield _initializer(name, tensor, raw_data=_array(tensor).tobytes())


def _write(weights: Weights, path: Path) -> Iterator[onnx.TensorProto]:
    """Initializers that say where in the file at `path` the values are; the file is written meanwhile."""
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
    """The values in C order; torch transposes several times faster than numpy."""
    return torch.from_numpy(tensor.numpy()).contiguous().numpy()
