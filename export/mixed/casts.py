"""Writes float16 into an exported program, with casts around the modules that stay in float32.

For backends whose converters take the precision of every tensor as it is in the graph (Core AI, Vulkan).  Core ML's and
XNNPACK's decide it while they write.  An operation in float16 reads and returns float16, as rounded.py measures it; the
inputs and outputs of the program stay float32.  coreai-opt has such a pass, too, but it rounds the weights of every
module and the inputs first, so that what stays in float32 would compute with rounded numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.node import map_arg
from torch.fx.traceback import NodeSource

from export.mixed.rounded import HalfProgram, Wide, is_float, module_of

CAST = torch.ops.aten._to_copy.default
ASSERTION = torch.ops.aten._assert_tensor_metadata.default
"""What torch.export adds in front of a cast; it would refuse the other dtype."""


def in_half(half: HalfProgram, wide: Wide) -> ExportedProgram:
    """Return the program with float16 outside of `wide` modules and of `half.exact`; it changes the program itself."""
    return Casts(half, wide).written()


class Casts:
    """One rewriting of a program; holds the casts that were written already."""

    def __init__(self, half: HalfProgram, wide: Wide) -> None:
        self.half, self.graph, self.made = half, half.program.graph, dict[tuple[Node, torch.dtype], Node]()
        self.inputs_end = half.placeholders[-1]
        chosen = (node for node in half.operations if node not in half.exact and not wide(module_of(node)))
        self.narrow = frozenset(chosen)

    def written(self) -> ExportedProgram:
        """Write float16 into weights, operations and casts; returns the program."""
        program, operations = self.half.program, self.half.operations
        self.store_weights()
        for node in operations:
            if node.target == ASSERTION:
                self.graph.erase_node(node)
            else:
                self.write(node)
        output = self.graph.output_node()
        for node in output.all_input_nodes:
            single = self.cast(node, torch.float32)
            if single is not node:
                output.replace_input_with(node, single)
                program.graph_signature.replace_all_uses(node.name, single.name)
        program.graph_module.recompile()
        return program

    def store_weights(self) -> None:
        """Store in float16 what only operations in float16 read."""
        program = self.half.program
        targets = {spec.arg.name: str(spec.target) for spec in program.graph_signature.input_specs}
        readers: dict[str, set[Node]] = {}
        for node in self.half.stored:
            readers.setdefault(targets[node.name], set()).update(node.users)
        for node, tensor in self.half.stored.items():
            target = targets[node.name]
            if is_float(tensor) and readers[target] and readers[target] <= self.narrow:
                held = program.constants if target in program.constants else program.state_dict
                held[target] = halved(tensor)
                node.meta["val"] = node.meta["val"].half()

    def write(self, node: Node) -> None:
        """Let an operation read its precision, and note the type of its result."""
        dtype = torch.float16 if node in self.narrow else torch.float32
        node.args = map_arg(node.args, lambda each: self.cast(each, dtype))
        node.kwargs = map_arg(node.kwargs, lambda each: self.cast(each, dtype))
        args: Any = map_arg(node.args, lambda each: each.meta["val"])
        kwargs: Any = map_arg(node.kwargs, lambda each: each.meta["val"])
        with fake_mode(node.meta["val"]):
            node.meta["val"] = node.target(*args, **kwargs)  # type: ignore[operator]

    def cast(self, node: Node, dtype: torch.dtype) -> Node:
        """Return a node with a value in a precision: itself if it is in it, or if it is no tensor of floats."""
        value = node.meta["val"]
        if not is_float(value) or value.dtype == dtype:
            return node
        if (node, dtype) not in self.made:
            after = self.inputs_end if node.op == "placeholder" else node
            with self.graph.inserting_after(after):
                made = self.graph.call_function(CAST, (node,), {"dtype": dtype})
            # It belongs to the module that computed the value, and is the first of its kind for ExecuTorch.
            made.meta = {**node.meta, "val": value.to(dtype), "from_node": [NodeSource(made)]}
            self.made[node, dtype] = made
        return self.made[node, dtype]


def halved(tensor: Tensor) -> Tensor:
    """Return a tensor in float16, of the same kind."""
    half = tensor.detach().half()
    return nn.Parameter(half, requires_grad=False) if isinstance(tensor, nn.Parameter) else half


def fake_mode(value: Any) -> Any:
    """Return the mode in which a value of a node's `meta` was computed."""
    first = value[0] if isinstance(value, tuple | list) else value
    return first.fake_mode
