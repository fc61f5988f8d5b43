"""Weights in half precision: `--precision fp16` on XNNPACK.

Filters of convolutions and linear layers are stored in half and looked-up tables too, and everything is computed in
float32, which XNNPACK unpacks the filters to: a file of half the size, the same numbers on every processor, and an
error that comes from the rounding of the weights alone (71 to 75 dB a layer).

Arithmetic in half is not offered.  Lowered as it is, a network in half breaks into dozens of delegates (PyTorch writes
SiLU in half as a detour over float32, and XNNPACK's partitioner takes neither a cast nor a GELU in half), and filters
of convolutions are stored in float32 all the same.  With those fixed it is one delegate, but what it computes depends
on the processor: where the instructions are missing (Cortex-A53, every x86-64 before AVX512-FP16) XNNPACK computes it
in float32 without a word, and where they are there (Cortex-A76) sums are rounded to half at every term, which leaves
43 dB of a 3x3 convolution over 256 channels, and after the first mean of squares it continues in float32 all the same.
In a norm |x - mean| > 256 is infinite in half, and an epsilon of 1e-12 is zero.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node
from torch.nn import functional as F

from export.executorch.quantize.embedding import LEAST_ROWS
from export.rewrites.replacement import replaced
from export.stages import ExportStage


class HalfEmbedding(nn.Module):
    """A table in half precision, of which a prompt reads some rows."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table.half())  # (rows, width)

    def forward(self, rows: Tensor) -> Tensor:
        """Indices (...) -> float32 (..., width)."""
        return F.embedding(rows, self.table).to(torch.float32)


def halve_tables(stage: ExportStage) -> ExportStage:
    """The stage with every large table in half precision; other weights are shared."""
    return dataclasses.replace(stage, module=replaced(stage.module, _half_table))


def _half_table(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.Embedding) and module.num_embeddings >= LEAST_ROWS:
        return HalfEmbedding(module.weight.detach())
    return None


def stored_in_half(program: ExportedProgram, tensor: Node) -> bool:
    """Whether a constant of a delegate is a filter of the network.

    The averages inside rewritten norms are filters of 1x1 too, but buffers: rounded, they would scale every mean.
    """
    if not tensor.users or not all(_is_filter(tensor, user) for user in tensor.users):
        return False
    spatial = tuple(tensor.meta["val"].shape[2:])
    return tensor.name in program.graph_signature.inputs_to_parameters or spatial not in ((), (1, 1))


def _is_filter(tensor: Node, user: Node) -> bool:
    """Whether an operation takes the tensor as a filter that XNNPACK knows in half beside an input in float32."""
    name = getattr(user.target, "__name__", "")
    if name == "aten.linear.default":
        return user.args[1] is tensor
    if name != "aten.convolution.default" or user.args[1] is not tensor:
        return False
    return (user.args[6], user.args[8]) == (False, 1)  # neither transposed nor grouped
