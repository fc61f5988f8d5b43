"""Passes that make permutations between (B, C, h, w) and (B, h, w, C) free inside an XNNPACK delegate.

XNNPACK stores feature maps channels-last.  Upstream's pass restores the channels-first order before each permutation or
reshape, so that `map.permute(0, 2, 3, 1)` becomes two transpositions of the whole map that cancel each other.  The
passes of this module turn it, and its inverse, into a reshape that moves no data.
"""

from __future__ import annotations

from typing import Any

import torch
from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import ChannelsLastTaggedReshapePass
from executorch.backends.xnnpack._passes.xnnpack_pass import XNNPACKPass
from executorch.backends.xnnpack.utils.utils import is_param_node
from executorch.exir.dialects._ops import ops as exir_ops
from torch.fx import GraphModule
from torch.fx.passes.infra.pass_base import PassResult

COPY = exir_ops.edge.aten._to_copy.default
PERMUTE = exir_ops.edge.aten.permute_copy.default
VIEW = exir_ops.edge.aten.view_copy.default
TO_POSITIONS, TO_MAP = [0, 2, 3, 1], [0, 3, 1, 2]
"""Permutation of a map (B, C, h, w) to positions (B, h, w, C), and its inverse."""
tagged = ChannelsLastTaggedReshapePass.is_nhwc_node
"""Returns whether a node is stored channels-last."""


class RequestLayouts(XNNPACKPass):  # type: ignore[misc]
    """Sets the memory layout before and after the two permutations; the pass that tags layouts respects it."""

    def call(self, module: GraphModule) -> PassResult:
        """Run before upstream's layout passes: channels-first before `TO_POSITIONS`, channels-last after `TO_MAP`."""
        for node in _nodes(module):
            if permutes(node, TO_POSITIONS):
                source = node.args[0]
                with module.graph.inserting_before(node):
                    copy = _copy(module, source, torch.contiguous_format)
                node.replace_input_with(source, copy)
            elif permutes(node, TO_MAP):
                users = list(node.users)
                with module.graph.inserting_after(node):
                    copy = _copy(module, node, torch.channels_last)
                for user in users:
                    user.replace_input_with(node, copy)
        return PassResult(module, True)


class FreePermutations(XNNPACKPass):  # type: ignore[misc]
    """Turns permutations that move no data into reshapes, and stores constants in the layout that their users need."""

    def call(self, module: GraphModule) -> PassResult:
        """Run after upstream's layout passes."""
        for node in _nodes(module):
            self._free(module, node)
        for node in _nodes(module):
            while node.target == VIEW and node.args[0].target == VIEW:
                node.args = (node.args[0].args[0], *node.args[1:])
        module.graph.eliminate_dead_code()
        return PassResult(module, True)

    def _free(self, module: GraphModule, node: Any) -> None:
        source: Any = node.args[0] if node.args else None
        if node.target == COPY and is_param_node(self.exported_program, source) and all(map(_to_last, source.users)):
            ChannelsLastTaggedReshapePass.mark_as_nhwc_node(source)
            node.replace_all_uses_with(source)
        elif node.target == COPY and _one_line(source):
            _reshape(module, node, source, channels_last=_to_last(node))
        elif _to_last(node) and permutes(source, TO_MAP) and not tagged(source.args[0]):
            _reshape(module, node, source.args[0], channels_last=True)
        elif permutes(node, TO_POSITIONS) and _to_first(source) and tagged(source.args[0]):
            _reshape(module, node, source.args[0], channels_last=False)
        elif node.target == PERMUTE and not tagged(node) and _keeps_order(node):
            _reshape(module, node, source, channels_last=False)


def permutes(node: Any, axes: list[int]) -> bool:
    """Return whether a node permutes a tensor to `axes`."""
    return getattr(node, "target", None) == PERMUTE and [axis % 4 for axis in node.args[1]] == axes


def _to_last(node: Any) -> bool:
    """Return whether a node copies a tensor to channels-last."""
    return _copies(node, torch.channels_last)


def _to_first(node: Any) -> bool:
    """Return whether a node copies a tensor to channels-first."""
    return _copies(node, torch.contiguous_format)


def _copies(node: Any, memory_format: torch.memory_format) -> bool:
    return getattr(node, "target", None) == COPY and node.kwargs.get("memory_format") == memory_format


def _one_line(node: Any) -> bool:
    """Return whether a map has one channel or one pixel, so that both layouts are the same in memory."""
    shape = node.meta["val"].shape
    return len(shape) == 4 and (shape[1] == 1 or shape[2] == shape[3] == 1)


def _keeps_order(node: Any) -> bool:
    """Return whether a permutation moves only axes of length one."""
    shape = node.args[0].meta["val"].shape
    axes = [axis % len(shape) for axis in node.args[1]]
    long = [axis for axis in axes if shape[axis] != 1]
    return long == sorted(long)


def _nodes(module: GraphModule) -> list[Any]:
    """Return a copy of the list of nodes, typed `Any` because their arguments have many types."""
    return list(module.graph.nodes)


def _copy(module: GraphModule, source: Any, memory_format: torch.memory_format) -> Any:
    node = module.graph.call_function(COPY, (source,), {"memory_format": memory_format})
    node.meta["val"] = source.meta["val"]
    return node


def _reshape(module: GraphModule, node: Any, source: Any, channels_last: bool) -> None:
    """Replace `node` with a reshape of `source`."""
    with module.graph.inserting_before(node):
        view = module.graph.call_function(VIEW, (source, list(node.meta["val"].shape)))
    view.meta["val"] = node.meta["val"]
    if channels_last:
        ChannelsLastTaggedReshapePass.mark_as_nhwc_node(view)
    node.replace_all_uses_with(view)
