"""Runs an exported program in PyTorch with float16 rounding where a phone would round, and measures its values.

The program is what a backend lowers: its own rewrites and decompositions are in it.  As in the interpreter of Core ML
programs, an operation in float16 reads and returns float16, and computes inside in float32.  No two runtimes add in the
same order, and where a softmax decides between two equal scores, the last digit of a sum decides the picture.  A run
can therefore be given an `order`: every sum then differs by ORDER.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node
from torch.fx.node import map_arg

from export.mixed.names import covers

HALF_MAX = 65504.0
"""The largest number of float16."""
FILTERED: Mapping[str, int] = {"convolution": 1, "conv2d": 1, "linear": 1, "embedding": 0}
"""Operation -> position of its weight, where only weights are stored in float16."""

SUMS = frozenset(
    {
        "addmm",
        "avg_pool2d",
        "bmm",
        "conv2d",
        "convolution",
        "linear",
        "matmul",
        "mean",
        "mm",
        "native_group_norm",
        "native_layer_norm",
        "scaled_dot_product_attention",
        "softmax",
    }
)
"""Operations that add many numbers."""
ORDER = 2.0**-22
"""Standard deviation of what another order changes, relative to a sum.  2^-24 gives the difference between PyTorch's
eager modules and their exported programs in float32; four times as much finds what happens seldom."""

PART = 2**24
"""Numbers of a sum's result that are changed at a time."""

Outputs = tuple[Tensor, ...]
Wide = Callable[[str], bool]
"""Returns whether the own operations of a module compute in float32."""
Watch = Callable[[Node, Outputs, Any], None]
"""Sees an operation, its float operands and its result."""


@dataclass(frozen=True, eq=False)
class HalfProgram:
    """A stage's exported program, and which part of it float16 can touch."""

    stage: str
    program: ExportedProgram
    weights_only: bool = False
    """Whether only weights are stored in float16, and the arithmetic is float32."""
    keeps_update: bool = False
    """Whether the operations after the last convolution are float32 in any case."""

    @cached_property
    def operations(self) -> tuple[Node, ...]:
        """The operations that compute something, in order."""
        return tuple(node for node in self.program.graph.nodes if node.op == "call_function")

    @cached_property
    def exact(self) -> frozenset[Node]:
        """The operations that are float32 in any case."""
        return frozenset(after_last_convolution(self.program)) if self.keeps_update else frozenset()

    @cached_property
    def modules(self) -> Mapping[str, int]:
        """The modules that have operations of their own, in order, with the number of their weights."""
        sizes: dict[str, int] = {}
        for node in self.operations:
            if node not in self.exact:
                weights = [each for each in node.all_input_nodes if each.op == "placeholder" and each in self.stored]
                size = sum(self.stored[each].numel() for each in weights)
                sizes[module_of(node)] = sizes.get(module_of(node), 0) + size
        return sizes

    @cached_property
    def stored(self) -> Mapping[Node, Tensor]:
        """The tensors that the program holds, by their placeholders."""
        held = {**self.program.constants, **self.program.state_dict}
        pairs = zip(self.placeholders, self.program.graph_signature.input_specs, strict=True)
        return {node: held[str(spec.target)] for node, spec in pairs if spec.kind != InputKind.USER_INPUT}

    @cached_property
    def parameters(self) -> frozenset[Node]:
        """The placeholders of the network's own weights."""
        pairs = zip(self.placeholders, self.program.graph_signature.input_specs, strict=True)
        return frozenset(node for node, spec in pairs if spec.kind == InputKind.PARAMETER)

    @cached_property
    def placeholders(self) -> tuple[Node, ...]:
        """The inputs and the tensors that the program holds."""
        return tuple(node for node in self.program.graph.nodes if node.op == "placeholder")

    @cached_property
    def last_uses(self) -> Mapping[Node, Sequence[Node]]:
        """The values that no operation after this one reads."""
        last: dict[Node, list[Node]] = {}
        seen = set(self.program.graph.output_node().all_input_nodes)
        for node in reversed(self.operations):
            last[node] = [each for each in (node, *node.all_input_nodes) if each not in seen]
            seen.update(last[node])
        return last

    def named(self, names: Sequence[str]) -> Wide:
        """Return which modules of this program the names mean."""
        found = {module for module in self.modules if covers(names, self.stage, module)}
        return found.__contains__

    def read_in_half(self, node: Node) -> frozenset[Node]:
        """Return the operands that an operation in float16 reads in float16."""
        if not self.weights_only:
            return frozenset(node.all_input_nodes)
        place = FILTERED.get(operation_of(node))
        return frozenset() if place is None else self.parameters & frozenset([node.args[place]])

    def run(
        self, inputs: Mapping[str, Tensor], wide: Wide, watch: Watch | None = None, order: int | None = None
    ) -> Outputs:
        """Return the outputs with float16 everywhere but in modules that are `wide`; `watch` sees every operation.

        `order` is the seed of another order of sums; None is PyTorch's own.
        """
        run = Run(self, inputs, wide, order)
        for node in self.operations:
            operands, result = run.step(node)
            if watch is not None:
                watch(node, operands, result)
        return run.outputs


class Run:
    """One run of a program, an operation at a time, so that two can be compared while they go."""

    def __init__(self, half: HalfProgram, inputs: Mapping[str, Tensor], wide: Wide, order: int | None = None) -> None:
        self.half, self.wide = half, wide
        self.generator = None if order is None else torch.Generator().manual_seed(order)
        given = {node: inputs[node.name] for node in half.placeholders if node not in half.stored}
        self.values: dict[Node, Any] = {**half.stored, **given}
        self.rounded: set[Node] = set()
        """The operations whose results are rounded already."""

    @property
    def outputs(self) -> Outputs:
        """The outputs, once every operation has run."""
        nodes: Any = self.half.program.graph.output_node().args[0]
        return tuple(self.values[node] for node in nodes)

    @torch.inference_mode()
    def step(self, node: Node) -> tuple[Outputs, Any]:
        """Run one operation; returns its float operands (weights too, before their rounding) and its result."""
        values, half = self.values, node not in self.half.exact and not self.wide(module_of(node))
        reads = self.half.read_in_half(node) if half else frozenset()

        def value_of(operand: Node) -> Any:
            return in_half(values[operand]) if operand in reads - self.rounded else values[operand]

        args: Any = map_arg(node.args, value_of)
        kwargs: Any = map_arg(node.kwargs, value_of)
        result = node.target(*args, **kwargs)  # type: ignore[operator]
        if self.generator is not None and operation_of(node) in SUMS:
            reorder(result, self.generator)
        if half and not self.half.weights_only:
            result = in_half(result)
            self.rounded.add(node)
        values[node] = result
        operands = tuple(values[each] for each in node.all_input_nodes if is_float(values[each]))
        for each in self.half.last_uses[node]:
            del values[each]
        return operands, result


def everything(module: str) -> bool:
    """Return True: every module is float32."""
    return True


def nothing(module: str) -> bool:
    """Return False: no module is float32."""
    return False


def module_of(node: Node) -> str:
    """Return the path of the module whose `forward` does an operation itself; "" for the outermost."""
    stack = node.meta.get("nn_module_stack")
    return str(list(stack.values())[-1][0]).split("@")[0] if stack else ""


def operation_of(node: Node) -> str:
    """Return an operation's name without its namespace and overload, such as "softmax"."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet)).lstrip("_")


def in_half(value: Any) -> Any:
    """Return float tensors rounded to float16, and anything else unchanged."""
    if isinstance(value, tuple | list):
        return type(value)(in_half(each) for each in value)
    return value.half().float() if is_float(value) else value


def reorder(value: Any, generator: torch.Generator) -> None:
    """Change sums in place to what another order might give; of several results only the first is a sum.

    Attention scores of a large picture have gigabytes, so no second tensor of their size is made.
    """
    sums: Tensor = value[0] if isinstance(value, tuple | list) else value
    for each in sums.view(-1).split(PART) if sums.is_contiguous() else (sums,):
        each.mul_(torch.randn(each.shape, generator=generator).mul_(ORDER).add_(1))


def is_float(value: Any) -> bool:
    """Return whether a value is a tensor of floats."""
    return isinstance(value, Tensor) and value.is_floating_point()


def after_last_convolution(program: ExportedProgram) -> list[Node]:
    """Return the operations on the paths from the last convolutions (not included) to the outputs."""
    found: dict[Node, None] = {}
    pending = list(program.graph.output_node().all_input_nodes)
    while pending:
        node = pending.pop()
        if node.op != "call_function" or node in found or operation_of(node) in ("convolution", "conv2d"):
            continue
        found[node] = None
        pending += node.all_input_nodes
    return list(found)


def reach(half: HalfProgram, node: Node, operands: Outputs, result: Any) -> float:
    """Return the largest magnitude among the numbers of an operation that float16 must hold."""
    if half.weights_only:
        held = [half.stored[each] for each in half.read_in_half(node)]
    else:
        held = [*operands, *(result if isinstance(result, tuple | list) else [result])]
    return max((float(each.abs().max()) for each in held if is_float(each) and each.numel()), default=0.0)
