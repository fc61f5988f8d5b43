"""Group-wise 4-bit weights of linear layers: one scale per group of GROUP weights along the input axis.

XNNPACK multiplies them by 8-bit inputs that are dynamically quantized per row.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn
from torchao.quantization.granularity import PerGroup
from torchao.quantization.quant_api import Int8DynamicActivationIntxWeightConfig, quantize_

FOUR_BITS: torch.dtype = torch.int4  # type: ignore[attr-defined]
GROUP = 32
"""Weights that share a scale; the smallest group size that XNNPACK supports."""


def group_weights(module: nn.Module, names: Collection[str]) -> list[str]:
    """Quantize the named linear layers of `module` to 4 bits, in place; returns the names of the quantized layers.

    A layer is left as it is if its input width is not a multiple of GROUP.
    """
    layers = {name: layer for name, layer in module.named_modules() if name in names and isinstance(layer, nn.Linear)}
    taken = {name: layer for name, layer in layers.items() if layer.in_features % GROUP == 0}
    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=FOUR_BITS, weight_granularity=PerGroup(GROUP))
    quantize_(module, config, filter_fn=lambda layer, name: name in taken)
    return list(taken)
