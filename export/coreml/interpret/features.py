"""Converts a package's inputs and outputs between arrays, as its description declares them, and tensors.

A picture is an array of bytes (H, W, 3) in the order red, green, blue, or (H, W) in grayscale.  Inside the program it
is a float tensor (1, C, H, W), whose order of channels the package states.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.coreml.interpret.elementwise import DTYPES
from export.coreml.structure import IMAGE
from export.coreml.toolchain import import_coremltools
from export.signatures import TensorSpec
from mobile_diffusion.errors import ExportError

ARRAY_DTYPES = {"FLOAT32": "float32", "FLOAT16": "float16", "INT32": "int32", "INT8": "int8", "DOUBLE": "float64"}
"""Maps Core ML's names of types to numpy's."""
COLORS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "GRAYSCALE": None}
"""Channel numbers of red, green and blue in the tensor, by Core ML's name of the color space."""


@dataclass(frozen=True)
class Feature:
    """An input or output, as the package's description declares it."""

    spec: TensorSpec
    color: str | None = None
    """One of COLORS for a picture; None for an array."""

    @property
    def array_spec(self) -> TensorSpec:
        """Name, dtype and shape of the array that the feature takes or returns."""
        return replace(self.spec, dtype="uint8") if self.color else self.spec


def feature(value: Any) -> Feature:
    """Return the feature of a feature description.

    Raises:
        ExportError: it is neither an array nor a picture, or it is an array of an unknown type.
    """
    kind = value.type.WhichOneof("Type")
    if kind == "imageType":
        return picture(value)
    array = value.type.stateType.arrayType if kind == "stateType" else value.type.multiArrayType
    dtypes = import_coremltools().proto.FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
    dtype = dict(zip(dtypes.values(), dtypes.keys(), strict=True)).get(array.dataType, str(array.dataType))
    if kind not in ("multiArrayType", "stateType") or dtype not in ARRAY_DTYPES:
        got = kind if kind not in ("multiArrayType", "stateType") else dtype
        raise ExportError(f"{value.name}: expected an array of {', '.join(ARRAY_DTYPES)} or an image, got {got}")
    return Feature(TensorSpec(value.name, ARRAY_DTYPES[dtype], tuple(array.shape)))


def picture(value: Any) -> Feature:
    """Return the feature of an image description; raises `ExportError` for an unknown color space."""
    image = value.type.imageType
    colors = import_coremltools().proto.FeatureTypes_pb2.ImageFeatureType.ColorSpace
    color = dict(zip(colors.values(), colors.keys(), strict=True)).get(image.colorSpace, str(image.colorSpace))
    if color not in COLORS:
        raise ExportError(f"{value.name}: expected an image of {', '.join(COLORS)}, got {color}")
    shape = (int(image.height), int(image.width))
    return Feature(TensorSpec(value.name, IMAGE, shape if COLORS[color] is None else (*shape, 3)), color)


def tensor_of(found: Feature, array: NDArray[Any], dtype: str, rounding: bool) -> Tensor:
    """Return an array as the tensor of a MIL dtype that a program takes."""
    if found.color:
        order = COLORS[found.color]
        planes = array[None, None] if order is None else array[:, :, order].transpose(2, 0, 1)[None]  # (1, C, H, W)
        array = planes
    tensor = torch.from_numpy(np.ascontiguousarray(array)).to(DTYPES[dtype])
    return tensor.half().float() if dtype == "fp16" and rounding and array.dtype != np.float16 else tensor


def array_of(found: Feature, tensor: Tensor) -> NDArray[Any]:
    """Return a program's tensor as an array that shares no memory with it.

    The numbers of a picture are rounded to integers (half to even) and clipped to 0..255; NaN becomes 0.
    """
    if not found.color:
        return tensor.contiguous().numpy().astype(found.spec.dtype)
    order = COLORS[found.color]
    planes = tensor.nan_to_num(0.0).round().clamp(0, 255).to(torch.uint8)[0].numpy()  # (C, H, W)
    chosen = planes[0] if order is None else planes[list(order)].transpose(1, 2, 0)
    return np.ascontiguousarray(chosen)
