"""The layers of a stage that are worth quantizing: convolutions and linear layers that do its work.

What the rewriting of norms adds (rewrites/xnnpack) are convolutions and linear layers too, over single pixels or with
one output: they cost nothing and a norm with rounded means is no norm, so they stay in float.  So do the first and last
convolutions, which have next to no work and carry the whole signal through a few channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Node

KINDS: dict[Any, str] = {torch.ops.aten.linear.default: "linear", torch.ops.aten.conv2d.default: "convolution"}
"""Operations with weights that XNNPACK computes in 8 bits."""
LEAST_CHANNELS = 16
"""Of both sides of a layer: with fewer its rounding is as much work as the layer."""
LEAST_SHARE = 0.0005
"""Of the stage's multiplications or weights: a layer with less than both is not worth its rounding."""


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer of an exported graph."""

    name: str
    """Of the module that holds its weight."""
    node: str
    """Name of its operation in the graph."""
    kind: str
    """One of KINDS' values."""
    weights: int
    """Numbers in its weight."""
    products: int
    """Multiplications of one run."""


@dataclass(frozen=True)
class Found:
    """The layers of a stage."""

    layers: tuple[QuantizedLayer, ...]
    """Those to quantize."""
    left: dict[str, str]
    """Name of each other layer with weights of its own, and why it stays in float."""


def find_layers(graph_module: GraphModule) -> Found:
    """The layers of an exported module, in order of execution."""
    every = {node: _layer(node) for node in graph_module.graph.nodes if node.target in KINDS and _has_weights(node)}
    products = sum(layer.products for layer in every.values())
    weights = sum(layer.weights for layer in every.values())
    chosen: list[QuantizedLayer] = []
    left: dict[str, str] = {}
    for node, layer in every.items():
        if _belongs_to_norm(node):
            continue
        outputs, inputs = node.args[1].meta["val"].shape[:2]
        if min(outputs, inputs) < LEAST_CHANNELS:
            left[layer.name] = f"has {inputs} channels in and {outputs} out"
        elif layer.products < LEAST_SHARE * products and layer.weights < LEAST_SHARE * weights:
            left[layer.name] = "has too little work"
        else:
            chosen.append(layer)
    return Found(tuple(chosen), left)


def _has_weights(node: Node) -> bool:
    """Whether the weight is stored as it is: not in 4 bits already."""
    return isinstance(node.args[1], Node) and node.args[1].op == "get_attr"


def _layer(node: Node) -> QuantizedLayer:
    """Products: each output position takes every weight once."""
    weight = node.args[1]
    assert isinstance(weight, Node)
    shape, output = weight.meta["val"].shape, node.meta["val"].shape
    positions = math.prod(output) // shape[0]
    name = str(weight.target).removesuffix(".weight")
    return QuantizedLayer(
        name, node.name, KINDS[node.target], math.prod(shape), positions * math.prod(shape[1:]) * shape[0]
    )


def _belongs_to_norm(node: Node) -> bool:
    """Whether the innermost module of the operation is a norm."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return bool(stack) and "Norm" in str(stack[-1][1]).rpartition(".")[2]
