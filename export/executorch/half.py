"""Weights in half precision: `--precision fp16` on XNNPACK.

The weights of convolutions, linear layers and embedding tables are stored in float16.  XNNPACK unpacks them to float32
and computes in float32.  The file is half the size, the results are the same on every processor, and the only error is
the rounding of the weights (71 to 75 dB per layer).  A weight beyond 65504, or so small that float16 has few digits for
it, stays in float32 if its module is named (export/mixed/names.py).

Arithmetic in float16 is not offered, for these reasons:

- A float16 network breaks into dozens of delegates: PyTorch computes SiLU by way of float32, and XNNPACK's partitioner
  takes neither casts nor a float16 GELU.  Convolution weights are stored in float32 nevertheless.
- With that fixed there is one delegate, but its results depend on the processor.  Without float16 instructions
  (Cortex-A53, every x86-64 before AVX512-FP16) XNNPACK silently computes in float32.  With them (Cortex-A76) it rounds
  each partial sum to float16, which leaves 43 dB after a 3x3 convolution over 256 channels.  After the first mean of
  squares it continues in float32 in any case.
- In a norm, (x - mean)^2 overflows float16 for |x - mean| > 256, and an epsilon of 1e-12 becomes zero.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node
from torch.nn import functional as F

from export.executorch.quantize.embedding import LEAST_ROWS
from export.executorch.weights import InHalf
from export.mixed.names import Names, covers
from export.mixed.rounded import module_of
from export.rewrites.replacement import replaced
from export.stages import ExportStage


class HalfEmbedding(nn.Module):
    """An embedding table in float16; the rows that are looked up become float32."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table.half())  # (rows, width)

    def forward(self, rows: Tensor) -> Tensor:
        """Indices (...) -> float32 (..., width)."""
        return F.embedding(rows, self.table).to(torch.float32)


def halve_tables(stage: ExportStage, names: Names = ()) -> ExportStage:
    """Return the stage with every large embedding table in float16 except named ones; other weights are shared."""
    tables = [(name, each) for name, each in stage.module.named_modules() if isinstance(each, nn.Embedding)]
    kept = {id(table.weight) for name, table in tables if covers(names, stage.name, name)}

    def half_table(module: nn.Module) -> nn.Module | None:
        if not isinstance(module, nn.Embedding) or module.num_embeddings < LEAST_ROWS or id(module.weight) in kept:
            return None
        return HalfEmbedding(module.weight.detach())

    return dataclasses.replace(stage, module=replaced(stage.module, half_table))


def stored_in_half(stage: str, names: Names = ()) -> InHalf:
    """Return what says whether a constant of a delegate is a weight that is stored in float16.

    It is one that XNNPACK can store so, unless its module is named.  Rewritten norms contain 1x1 convolutions that
    average; their weights are buffers and stay in float32, because rounding them would scale each mean.
    """

    def in_half(program: ExportedProgram, tensor: Node) -> bool:
        if not tensor.users or not all(_is_filter(tensor, user) for user in tensor.users):
            return False
        if any(covers(names, stage, module_of(user)) for user in tensor.users):
            return False
        spatial = tuple(tensor.meta["val"].shape[2:])
        return tensor.name in program.graph_signature.inputs_to_parameters or spatial not in ((), (1, 1))

    return in_half


def _is_filter(tensor: Node, user: Node) -> bool:
    """Return whether `user` takes the tensor as a weight that XNNPACK supports in float16 with a float32 input."""
    name = getattr(user.target, "__name__", "")
    if name == "aten.linear.default":
        return user.args[1] is tensor
    if name != "aten.convolution.default" or user.args[1] is not tensor:
        return False
    return (user.args[6], user.args[8]) == (False, 1)  # neither transposed nor grouped
