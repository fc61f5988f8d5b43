"""Writes weights from the model's own memory into the .pte, one tensor at a time.

XNNPACK's lowering copies each weight three times: with the input program, as bytes for the file, and for the key that
names it.  For Stable Diffusion each copy is 3.4 GB.  This module avoids all three: the file's segments refer to the
tensors, which may themselves be mapped from a checkpoint.
"""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from executorch.backends.xnnpack.operators.node_visitor import CONSTANT_TENSOR_ALIGNMENT, NodeVisitor
from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import (
    ConstantDataOffset,
    XNNDatatype,
    XNNGraph,
)
from executorch.backends.xnnpack.utils.utils import get_param_tensor, is_param_node
from executorch.backends.xnnpack.utils.xnnpack_constants import UINT64_MAX
from executorch.exir._serialize._cord import FileBackedData
from executorch.exir.backend import backend_api, backend_details
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

FILTER_RANK = 4
"""Rank of a convolution's weight, which XNNPACK stores as (outputs, height, width, inputs)."""


class TensorData(FileBackedData):  # type: ignore[misc]
    """A segment of the file that is still a tensor; ExecuTorch's writer asks for its bytes when it writes the segment.

    The writer recognizes data that is not in memory by the base class; nothing else of that class is used.
    """

    def __init__(self, tensor: Tensor, channels_last: bool, dtype: torch.dtype = torch.float32) -> None:
        self._tensor = tensor
        self._dtype = dtype
        self._channels_last = channels_last and tensor.ndim == FILTER_RANK

    def __len__(self) -> int:
        return self._tensor.numel() * self._dtype.itemsize

    def in_half(self) -> TensorData:
        """Return the same tensor, to be written in float16."""
        return TensorData(self._tensor, self._channels_last, torch.float16)

    def key(self) -> str:
        """Return a key of the content: the same for equal weights in the same layout, in any program."""
        layout = "channels last" if self._channels_last else "contiguous"
        digest = hashlib.sha256(f"{self._dtype} {layout} {tuple(self._tensor.shape)} ".encode())
        digest.update(_bytes(self._tensor.contiguous()))
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        return bytes(self._ordered())

    def prefix(self, size: int) -> bytes:
        if not self._channels_last:
            return bytes(self._ordered()[:size])
        filters = -(-size * len(self._tensor) // len(self))  # rows that cover the first `size` bytes
        return bytes(TensorData(self._tensor[:filters], channels_last=True, dtype=self._dtype)._ordered()[:size])

    def sha256(self) -> bytes:
        return hashlib.sha256(self._ordered()).digest()

    def write_to_file(self, outfile: io.BufferedIOBase) -> None:
        outfile.write(self._ordered())

    def close(self) -> None:
        """Do nothing: there is no file to close."""

    def _ordered(self) -> memoryview:
        tensor = self._tensor.permute(0, 2, 3, 1) if self._channels_last else self._tensor
        return _bytes(tensor.to(self._dtype).contiguous())


InHalf = Callable[[ExportedProgram, Node], bool]
"""Returns whether a constant of a delegate is stored in float16."""


def never(program: ExportedProgram, tensor: Node) -> bool:
    """Return False: no weight is stored in float16."""
    return False


@contextmanager
def deferred_weights(in_half: InHalf = never) -> Iterator[None]:
    """Context manager in which the lowering neither copies XNNPACK's float32 weights nor turns them into bytes."""
    upstream, upstream_type = NodeVisitor.get_serialized_buffer_index, NodeVisitor.get_serialized_dtype

    def halved(visitor: NodeVisitor, tensor: Node) -> bool:
        program = visitor.exported_program
        return is_param_node(program, tensor) and in_half(program, tensor)

    def type_of(visitor: NodeVisitor, quantized: object, tensor: Node, *args: Any, **kwargs: Any) -> XNNDatatype:
        if quantized is None and halved(visitor, tensor):
            return XNNDatatype.xnn_datatype_fp16
        return upstream_type(visitor, quantized, tensor, *args, **kwargs)

    def defer(visitor: NodeVisitor, tensor: Node, xnn_graph: XNNGraph, *args: Any, **kwargs: Any) -> int:
        data = _deferrable(visitor, tensor, *args, **kwargs)
        if data is None:
            return upstream(visitor, tensor, xnn_graph, *args, **kwargs)
        if halved(visitor, tensor):
            data = data.in_half()
        key = data.key()
        visitor._named_data_store.add_named_data(key, data, alignment=CONSTANT_TENSOR_ALIGNMENT)
        xnn_graph.constant_data.append(ConstantDataOffset(offset=UINT64_MAX, size=len(data), named_key=key))
        return len(xnn_graph.constant_data) - 1

    with (
        patch.object(NodeVisitor, "get_serialized_buffer_index", defer),
        patch.object(NodeVisitor, "get_serialized_dtype", type_of),
        patch.object(backend_api, "copy", SimpleNamespace(deepcopy=_deepcopy)),
        patch.object(backend_details, "copy", SimpleNamespace(deepcopy=_deepcopy)),
    ):
        yield


def _deferrable(
    visitor: NodeVisitor,
    tensor: Node,
    vals_to_ids: dict[Node, int],
    convert_to_nhwc: bool,
    swap_in_out_for_weights: bool,
    quant_params: object,
    *_: object,
    **__: object,
) -> TensorData | None:
    """Return the data of a float weight that is stored unchanged or channels-last; None for any other constant."""
    if quant_params is not None or swap_in_out_for_weights or not is_param_node(visitor.exported_program, tensor):
        return None
    value = get_param_tensor(visitor.exported_program, tensor)
    if value is None or value.dtype != torch.float32 or value.numel() == 0:
        return None
    return TensorData(value.detach(), convert_to_nhwc)


def _deepcopy(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """Like `copy.deepcopy`, but a copied program shares the original's weights, into which no pass writes."""
    shared = dict(memo or {})
    if isinstance(value, ExportedProgram):
        tensors = (*value.state_dict.values(), *value.constants.values())
        shared |= {id(tensor): tensor for tensor in tensors if isinstance(tensor, Tensor)}
    return copy.deepcopy(value, shared)


def _bytes(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor."""
    return tensor.numpy().data.cast("B")
