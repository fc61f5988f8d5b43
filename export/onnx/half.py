"""Stores the weights of a model in float16, while its arithmetic stays in float32.

A weight is followed by a cast, which ONNX Runtime folds when it loads the model: half the bytes to send to a phone or
to a browser, and the same memory and speed.  A weight with a number that float16 cannot hold stays in float32.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnxscript import ir

from export.onnx.weights import Weights
from mobile_diffusion.errors import ExportError

HALF_MAX = float(np.finfo(np.float16).max)


def in_half(skeleton: onnx.ModelProto, weights: Weights) -> Weights:
    """Return the weights that `export.onnx.weights.detach` took, in float16, and add their casts to the skeleton.

    Tensors are converted when they are written, one at a time.  Raises `ExportError` for a weight that is NaN.
    """
    graph, found, casts = skeleton.graph, dict(weights), []
    for value in graph.input:
        tensor = weights.get(value.name)
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or not _fits(value.name, tensor.numpy()):
            continue
        name = f"{value.name}_half"
        casts.append(helper.make_node("Cast", [name], [value.name], f"{value.name}_cast", to=onnx.TensorProto.FLOAT))
        found[name] = _halved(found.pop(value.name), name)
        value.name, value.type.tensor_type.elem_type = name, onnx.TensorProto.FLOAT16
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return found


def _fits(name: str, values: NDArray[np.float32]) -> bool:
    largest = float(np.abs(values).max())
    if np.isnan(largest):
        raise ExportError(f"{name}: expected finite weights, got NaN; check the checkpoint")
    return largest <= HALF_MAX


def _halved(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    """The same tensor, converted each time it is read."""

    def convert() -> ir.TensorProtocol:
        return ir.tensor(tensor.numpy().astype(np.float16), name=name)

    shape = ir.Shape(tensor.shape.numpy())
    return ir.LazyTensor(convert, dtype=ir.DataType.FLOAT16, shape=shape, name=name)
