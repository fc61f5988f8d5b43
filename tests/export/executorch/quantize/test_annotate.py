"""Inputs that are rounded at run time and shared, between operations that XNNPACK does not take."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import Tensor, nn
from torch.export import ExportedProgram

from export.executorch.quantize import annotate
from export.executorch.quantize.layers import find_layers
from mobile_diffusion.transformer import TransformerBlock


class TwoBlocks(nn.Module):
    """Two blocks as they are, layer norms included, that attend to one text."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (TransformerBlock(32, 32, 2) for _ in range(2))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.second(self.first(x, context), context)


@torch.no_grad()
def rounded() -> ExportedProgram:
    example = {"x": torch.randn(1, 16, 32), "context": torch.randn(1, 12, 32)}
    module = torch.export.export(TwoBlocks().eval(), (), example).module()
    names = dict.fromkeys(layer.node for layer in find_layers(module).layers)
    return torch.export.export(annotate.rounded_graph(module, names, example), (), example)


def delegates(program: ExportedProgram) -> int:
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).exported_program()
    return len(lowered.graph.find_nodes(op="call_function", target=torch.ops.higher_order.executorch_call_delegate))


@pytest.mark.full
def test_a_shared_input_does_not_make_parts_depend_on_themselves() -> None:
    assert delegates(rounded()) > 1


def test_operations_of_its_own_for_each_layer_are_why() -> None:
    """When this fails, upstream is fixed, and the operations need not be repeated for linear layers."""
    with (
        patch.object(annotate, "DuplicateDynamicQuantChainPass", lambda: lambda module: None),
        pytest.raises(AssertionError, match="dependency cycles"),
    ):
        delegates(rounded())
