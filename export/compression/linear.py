"""Linear quantization of weights: integers with one scale per output channel, or per block of inputs in a channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.compression.recipes import Recipe
from export.compression.weight import Weight

LEAST_SCALE = np.float16(2.0**-24)
"""The smallest positive float16 number: the scale of a channel of zeros."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A linearly quantized weight."""

    codes: NDArray[np.int8]
    """The integers, in the weight's shape."""
    scale: NDArray[np.float16]
    """The scales, with the weight's rank; the sizes are the numbers of blocks along each axis."""
    noise: float
    """The sum of squared errors, including the rounding of scale * code to float16."""


def quantize(weight: NDArray[np.float16], layer: Weight, recipe: Recipe) -> Linear:
    """Return a weight quantized symmetrically: code = round(w / scale), scale = max |w| / (2^(bits - 1) - 1).

    The maximum is over an output channel, or over a block of its inputs if the recipe has blocks.
    """
    largest = 2 ** (recipe.bits - 1) - 1
    split, scales = list(weight.shape), [1] * weight.ndim
    scales[layer.output_axis] = weight.shape[layer.output_axis]
    scales[layer.input_axis] = weight.shape[layer.input_axis] // recipe.block if recipe.block else 1
    split.insert(layer.input_axis, scales[layer.input_axis])
    split[layer.input_axis + 1] //= scales[layer.input_axis]  # (..., blocks, inputs of a block, ...)
    numbers = weight.reshape(split).astype(np.float32)
    output = layer.output_axis + (layer.output_axis > layer.input_axis)
    shared = tuple(axis for axis in range(len(split)) if axis not in (output, layer.input_axis))
    scale = np.abs(numbers).max(shared, keepdims=True) / np.float32(largest)
    scale = np.maximum(scale.astype(np.float16), LEAST_SCALE)
    codes = np.rint(numbers / scale.astype(np.float32)).clip(-largest, largest)
    decoded = (codes * scale.astype(np.float32)).astype(np.float16)
    noise = float(np.square(decoded.astype(np.float32) - numbers).sum(dtype=np.float64))
    return Linear(codes.reshape(weight.shape).astype(np.int8), scale.reshape(scales), noise)
