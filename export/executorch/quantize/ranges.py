"""Finds the ranges of the layers' inputs and outputs on inputs that were recorded while PyTorch drew pictures.

torchao's histogram observer chooses each range: the one with the least error, which clips rare large values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torchao.quantization.pt2e import HistogramObserver

from export.executorch.quantize.layers import QuantizedLayer
from export.executorch.quantize.rounding import HIGH, LEAST_SCALE, LOW, Range
from mobile_diffusion.errors import ExportError

Sample = Mapping[str, Tensor]


@dataclass(frozen=True)
class LayerRanges:
    """The ranges of one layer."""

    input: Range
    output: Range


def find_ranges(
    module: GraphModule, layers: Sequence[QuantizedLayer], samples: Sequence[Sample]
) -> dict[str, LayerRanges]:
    """Return the ranges of each layer, by the name of its operation.

    Raises `ExportError` if a layer's input contains NaN or infinity, or is constant.
    """
    observed = _Observed(module, layers)
    for sample in samples:
        observed.run(*sample.values())
    return {layer.node: observed.ranges(layer) for layer in layers}


class _Observed(Interpreter):
    """Runs a graph and observes the inputs and outputs of its layers; a shared input is observed once."""

    def __init__(self, module: GraphModule, layers: Sequence[QuantizedLayer]) -> None:
        super().__init__(module)
        nodes = {node.name: node for node in module.graph.nodes}
        self.layers = {layer.node: nodes[layer.node] for layer in layers}
        watched = {each for node in self.layers.values() for each in (node, node.args[0])}
        self.observers = {
            node: HistogramObserver(
                dtype=torch.int8, qscheme=torch.per_tensor_affine, quant_min=LOW, quant_max=HIGH, eps=LEAST_SCALE
            )
            for node in watched
        }

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n in self.observers:
            if not torch.isfinite(value).all():
                raise ExportError(f"calibration: expected finite activations, got NaN or infinity from {n.name}")
            self.observers[n](value)
        return value

    def ranges(self, layer: QuantizedLayer) -> LayerRanges:
        node = self.layers[layer.node]
        return LayerRanges(self._range(node.args[0], layer), self._range(node, layer))

    def _range(self, node: Any, layer: QuantizedLayer) -> Range:
        observer = self.observers[node]
        if not observer.max_val - observer.min_val > LEAST_SCALE:  # all would be rounded to one number
            raise ExportError(
                f"calibration: expected activations that differ, got {observer.max_val.item():g} everywhere at "
                f"{layer.name}; calibrate with other prompts"
            )
        scale, zero_point = observer.calculate_qparams()
        return Range(float(scale), int(zero_point))
