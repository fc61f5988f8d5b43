"""Finds the layers of a stage that are worth quantizing: the convolutions and linear layers that do most of its work.

Rewritten norms (rewrites/xnnpack) also contain convolutions and linear layers.  These stay in float, because they cost
almost nothing and a norm needs exact means.  The first and last convolutions stay in float as well: they have little
work, and the whole signal passes through their few channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Node

KINDS: dict[Any, str] = {torch.ops.aten.linear.default: "linear", torch.ops.aten.conv2d.default: "convolution"}
"""Operations with weights that XNNPACK can compute in 8 bits, with the name of their kind."""
LEAST_CHANNELS = 16
"""Least number of input and of output channels; with fewer, rounding costs as much as the layer."""
LEAST_SHARE = 0.0005
"""Least share of the stage's multiplications or weights; a layer below both is not worth quantizing."""


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer of an exported graph."""

    name: str
    """Name of the module that contains the weight."""
    node: str
    """Name of the layer's operation in the graph."""
    kind: str
    """A value of KINDS."""
    weights: int
    """Number of elements of the weight."""
    products: int
    """Multiplications per run."""


@dataclass(frozen=True)
class Found:
    """The layers of a stage."""

    layers: tuple[QuantizedLayer, ...]
    """The layers to quantize."""
    left: dict[str, str]
    """The other layers with weights, by name, each with the reason why it stays in float."""


def find_layers(graph_module: GraphModule) -> Found:
    """Return the layers of an exported module, in order of execution."""
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
    """Return whether the node reads a float weight; False if the weight is in 4 bits already."""
    return isinstance(node.args[1], Node) and node.args[1].op == "get_attr"


def _layer(node: Node) -> QuantizedLayer:
    """Describe a layer.  Its products: each output position multiplies every weight once."""
    weight = node.args[1]
    assert isinstance(weight, Node)
    shape, output = weight.meta["val"].shape, node.meta["val"].shape
    positions = math.prod(output) // shape[0]
    name = str(weight.target).removesuffix(".weight")
    return QuantizedLayer(
        name, node.name, KINDS[node.target], math.prod(shape), positions * math.prod(shape[1:]) * shape[0]
    )


def _belongs_to_norm(node: Node) -> bool:
    """Return whether the innermost module of the operation is a norm."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return bool(stack) and "Norm" in str(stack[-1][1]).rpartition(".")[2]
