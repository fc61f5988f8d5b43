"""Annotates a graph with the chosen rounding of each layer, for torchao's quantization in two steps (prepare, convert).

Weights are rounded to [-127, 127] per output channel.  Static ranges of inputs and outputs are fixed here.  For a
dynamic range, operations that compute the range are inserted after the input; XNNPACK fuses them into the layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from executorch.backends.transforms.duplicate_dynamic_quant_chain import DuplicateDynamicQuantChainPass
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import PerChannelMinMaxObserver, PlaceholderObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from export.executorch.quantize.ranges import LayerRanges
from export.executorch.quantize.rounding import HIGH, LEAST_SCALE, LOW, WEIGHT_HIGH, Range

Roundings = Mapping[str, LayerRanges | None]
"""Maps the name of each layer's operation to its ranges, or to None if the range is computed at run time."""

WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-WEIGHT_HIGH,
    quant_max=WEIGHT_HIGH,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=torch.finfo(torch.float32).eps),
)
AT_RUN_TIME = QuantizationSpec(
    dtype=torch.int8,
    quant_min=LOW,
    quant_max=HIGH,
    qscheme=torch.per_tensor_affine,
    is_dynamic=True,
    observer_or_fake_quant_ctr=PlaceholderObserver.with_args(eps=LEAST_SCALE),
)


def rounded_graph(module: GraphModule, roundings: Roundings, sample: Mapping[str, torch.Tensor]) -> GraphModule:
    """Return the exported module with its layers rounded; `module` is changed and must not be used afterwards.

    Each dynamically quantized layer gets rounding operations of its own, even if several layers share an input
    (queries, keys and values; the text, in every block).  If layers shared them, upstream's partitioner would put all
    these layers into one partition, which may then depend on itself (`Invalid partition, found dependency cycles`), and
    two convolutions with a shared rounded input compute wrong results in XNNPACK.
    """
    prepared = prepare_pt2e(module, _Chosen(roundings))
    prepared(**sample)  # shows the weights to their observers
    converted = convert_pt2e(prepared)
    DuplicateDynamicQuantChainPass()(converted)
    _forget_unused(converted)
    return converted


def _forget_unused(module: GraphModule) -> None:
    """Drop the float originals of rounded weights: they would be written to the program, which never reads them."""
    used = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    for name in [*dict(module.named_parameters()), *dict(module.named_buffers())]:
        if name not in used:
            owner, _, attribute = name.rpartition(".")
            delattr(module.get_submodule(owner), attribute)


class _Chosen(XNNPACKQuantizer):  # type: ignore[misc]
    """Annotates the named layers, and no other operation."""

    def __init__(self, roundings: Roundings) -> None:
        super().__init__()
        self.roundings = roundings

    def annotate(self, model: GraphModule) -> GraphModule:
        for node in model.graph.nodes:
            if node.name in self.roundings:
                node.meta[Q_ANNOTATION_KEY] = _annotation(node, self.roundings[node.name])
        return model


def _annotation(node: Node, ranges: LayerRanges | None) -> QuantizationAnnotation:
    x, weight = node.args[:2]
    given = AT_RUN_TIME if ranges is None else _fixed(ranges.input)
    output = None if ranges is None else _fixed(ranges.output)
    return QuantizationAnnotation(input_qspec_map={x: given, weight: WEIGHT}, output_qspec=output, _annotated=True)


def _fixed(by: Range) -> FixedQParamsQuantizationSpec:
    return FixedQParamsQuantizationSpec(
        dtype=torch.int8,
        scale=by.scale,
        zero_point=by.zero_point,
        quant_min=LOW,
        quant_max=HIGH,
        qscheme=torch.per_tensor_affine,
    )
