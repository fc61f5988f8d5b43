"""Inputs and outputs of a package as arrays: what its description declares, and how a program's tensors become it.

A picture is an array of bytes (H, W, 3) with its channels as red, green and blue, or (H, W) in grey, and is a float
tensor (1, C, H, W) inside; the package says in which order the program has its channels.
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
"""Core ML's names to numpy's."""
COLORS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "GRAYSCALE": None}
"""Where in the tensor red, green and blue are."""


@dataclass(frozen=True)
class Feature:
    """An input or output as the package's description has it."""

    spec: TensorSpec
    color: str | None = None
    """One of COLORS for a picture."""

    @property
    def array_spec(self) -> TensorSpec:
        """What an array for it must satisfy."""
        return replace(self.spec, dtype="uint8") if self.color else self.spec


def feature(value: Any) -> Feature:
    """A feature description.

    Raises:
        ExportError: it is neither an array nor a picture, or an array of a type that is not known.
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
    """The description of an image."""
    image = value.type.imageType
    colors = import_coremltools().proto.FeatureTypes_pb2.ImageFeatureType.ColorSpace
    color = dict(zip(colors.values(), colors.keys(), strict=True)).get(image.colorSpace, str(image.colorSpace))
    if color not in COLORS:
        raise ExportError(f"{value.name}: expected an image of {', '.join(COLORS)}, got {color}")
    shape = (int(image.height), int(image.width))
    return Feature(TensorSpec(value.name, IMAGE, shape if COLORS[color] is None else (*shape, 3)), color)


def tensor_of(found: Feature, array: NDArray[Any], dtype: str, rounding: bool) -> Tensor:
    """An array as the tensor that a program takes, of a MIL dtype."""
    if found.color:
        order = COLORS[found.color]
        planes = array[None, None] if order is None else array[:, :, order].transpose(2, 0, 1)[None]  # (1, C, H, W)
        array = planes
    tensor = torch.from_numpy(np.ascontiguousarray(array)).to(DTYPES[dtype])
    return tensor.half().float() if dtype == "fp16" and rounding and array.dtype != np.float16 else tensor


def array_of(found: Feature, tensor: Tensor) -> NDArray[Any]:
    """A program's tensor as an array of its own.

    The numbers of a picture are rounded to whole ones, halves to even, and cut to 0..255; NaN becomes 0.
    """
    if not found.color:
        return tensor.contiguous().numpy().astype(found.spec.dtype)
    order = COLORS[found.color]
    planes = tensor.nan_to_num(0.0).round().clamp(0, 255).to(torch.uint8)[0].numpy()  # (C, H, W)
    chosen = planes[0] if order is None else planes[list(order)].transpose(1, 2, 0)
    return np.ascontiguousarray(chosen)
