"""XNNPACK's layout pass, made right for convolutions whose inputs are quantized while the program runs.

A convolution wants its input channels last.  Where the input is quantized at run time, upstream follows the first
argument of every operation back to the first input of the graph and transposes that one; all between is then read in
the wrong order: `upsample, convolution` reaches -3 dB, and `x * sigmoid(x), convolution` is refused when it runs
(tests/export/executorch/test_channels_last.py).  Here it is the tensor that is quantized which is transposed.
"""

from __future__ import annotations

from typing import Any

from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import ChannelsLastTaggedReshapePass
from executorch.backends.xnnpack.utils.quant_utils import is_dequant, is_dynamic_qdq
from torch.fx import GraphModule, Node


class ChannelsLast(ChannelsLastTaggedReshapePass):  # type: ignore[misc]
    """Upstream's pass; for graphs without dynamic quantization it does the same."""

    def input_to_nhwc(self, graph_module: GraphModule, input_node: Node, target_node: Node) -> None:
        """Give `target_node` the input with its channels last."""
        if not (is_dequant(input_node) and is_dynamic_qdq(input_node)):
            super().input_to_nhwc(graph_module, input_node, target_node)
            return
        quantize: Any = input_node.args[0]
        source, scale, zero_point = quantize.args[:3]
        choose = scale.args[0]
        for user in (choose, quantize):
            super().input_to_nhwc(graph_module, source, user)
        for node in (choose, scale, zero_point, quantize, input_node):
            self.mark_as_nhwc_node(node)
