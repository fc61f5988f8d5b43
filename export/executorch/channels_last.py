"""XNNPACK's layout pass, corrected for convolutions whose inputs are dynamically quantized.

XNNPACK's convolutions take their input channels-last.  If the input is dynamically quantized, upstream's pass follows
the first argument of each operation back to the first input of the graph, and transposes that input.  Every operation
in between then reads its data in the wrong order: `upsample, convolution` reaches -3 dB, and `x * sigmoid(x),
convolution` fails at run time (tests/export/executorch/test_channels_last.py).  This pass transposes the tensor that is
quantized.
"""

from __future__ import annotations

from typing import Any

from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import ChannelsLastTaggedReshapePass
from executorch.backends.xnnpack.utils.quant_utils import is_dequant, is_dynamic_qdq
from torch.fx import GraphModule, Node


class ChannelsLast(ChannelsLastTaggedReshapePass):  # type: ignore[misc]
    """Upstream's pass with this correction; it changes nothing for graphs without dynamic quantization."""

    def input_to_nhwc(self, graph_module: GraphModule, input_node: Node, target_node: Node) -> None:
        """Replace an input of `target_node` with its channels-last copy."""
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
