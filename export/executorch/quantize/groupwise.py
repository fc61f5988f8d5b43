"""Weights of linear layers in 4 bits, with a scale for each group of numbers along the input.

XNNPACK takes them with inputs in 8 bits, each row by its own range.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn
from torchao.quantization.granularity import PerGroup
from torchao.quantization.quant_api import Int8DynamicActivationIntxWeightConfig, quantize_

FOUR_BITS: torch.dtype = torch.int4  # type: ignore[attr-defined]
GROUP = 32
"""Numbers that share a scale: the smallest group that XNNPACK takes."""


def group_weights(module: nn.Module, names: Collection[str]) -> list[str]:
    """Give the named linear layers of `module`, in place, weights in 4 bits; returns the names of those that took them.

    A layer whose width is no multiple of GROUP does not.
    """
    layers = {name: layer for name, layer in module.named_modules() if name in names and isinstance(layer, nn.Linear)}
    taken = {name: layer for name, layer in layers.items() if layer.in_features % GROUP == 0}
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=FOUR_BITS, weight_granularity=PerGroup(GROUP))
    quantize_(module, config, filter_fn=lambda layer, name: name in taken)
    return list(taken)
