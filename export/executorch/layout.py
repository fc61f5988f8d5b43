"""Layouts inside an XNNPACK delegate: a permutation between (B, C, h, w) and (B, h, w, C) that moves nothing.

XNNPACK holds the maps of convolutions with the channels last.  Upstream's pass restores the channels-first order before
any permutation or reshape, so that `map.permute(0, 2, 3, 1)` is two transpositions of the whole map, one of which
undoes the other.  Here it becomes a reshape, which is free, and so does the way back.  A network can then take a map as
a table of positions and channels, wherever that suits it, at no cost.
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
"""Axes of a map as positions, channels last; and of positions as a map."""
tagged = ChannelsLastTaggedReshapePass.is_nhwc_node
"""Whether a node lies in memory with its channels last."""


class RequestLayouts(XNNPACKPass):  # type: ignore[misc]
    """States what the two permutations take and give in memory: the pass that tags layouts keeps to it."""

    def call(self, module: GraphModule) -> PassResult:
        """Before upstream's pass: channels first before `TO_POSITIONS`, channels last after `TO_MAP`."""
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
    """Makes a reshape of what moves nothing in memory, and stores constants in the layout that is wanted."""

    def call(self, module: GraphModule) -> PassResult:
        """After upstream's layout passes."""
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
    """Whether a node is the permutation of a tensor to `axes`."""
    return getattr(node, "target", None) == PERMUTE and [axis % 4 for axis in node.args[1]] == axes


def _to_last(node: Any) -> bool:
    """Whether a node is a copy into channels last."""
    return _copies(node, torch.channels_last)


def _to_first(node: Any) -> bool:
    """Whether a node is a copy into channels first."""
    return _copies(node, torch.contiguous_format)


def _copies(node: Any, memory_format: torch.memory_format) -> bool:
    return getattr(node, "target", None) == COPY and node.kwargs.get("memory_format") == memory_format


def _one_line(node: Any) -> bool:
    """Whether a map has one channel, or one pixel: it lies in memory alike in both layouts."""
    shape = node.meta["val"].shape
    return len(shape) == 4 and (shape[1] == 1 or shape[2] == shape[3] == 1)


def _keeps_order(node: Any) -> bool:
    """Whether a permutation moves only axes of length one."""
    shape = node.args[0].meta["val"].shape
    axes = [axis % len(shape) for axis in node.args[1]]
    long = [axis for axis in axes if shape[axis] != 1]
    return long == sorted(long)


def _nodes(module: GraphModule) -> list[Any]:
    """The nodes as they are now; their arguments have too many types to name."""
    return list(module.graph.nodes)


def _copy(module: GraphModule, source: Any, memory_format: torch.memory_format) -> Any:
    node = module.graph.call_function(COPY, (source,), {"memory_format": memory_format})
    node.meta["val"] = source.meta["val"]
    return node


def _reshape(module: GraphModule, node: Any, source: Any, channels_last: bool) -> None:
    """Put a reshape of `source` in the place of `node`."""
    with module.graph.inserting_before(node):
        view = module.graph.call_function(VIEW, (source, list(node.meta["val"].shape)))
    view.meta["val"] = node.meta["val"]
    if channels_last:
        ChannelsLastTaggedReshapePass.mark_as_nhwc_node(view)
    node.replace_all_uses_with(view)
