"""The operations that the interpreter supports, and the supported values of their attributes.

`OPS` has the operations by their MIL names.  Opening a package with any other operation, or with an unsupported
attribute, raises an error that names it (`interpreted`, `check_attributes`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor

from export.coreml.interpret.activation import ACTIVATION, GELU_MODES
from export.coreml.interpret.control import CONTROL, STATES
from export.coreml.interpret.convolution import CONVOLUTION, PADDINGS, TRANSPOSED_SIZES
from export.coreml.interpret.elementwise import DTYPES, ELEMENTWISE
from export.coreml.interpret.gathering import FROM_END, GATHERING, SCATTERING, SCATTERS
from export.coreml.interpret.instruction import Operation
from export.coreml.interpret.making import MAKING
from export.coreml.interpret.normalization import NORMALIZATION
from export.coreml.interpret.product import PRODUCT, letters
from export.coreml.interpret.reduction import INDEX_DTYPES, REDUCTION
from export.coreml.interpret.resizing import INTERPOLATIONS, REPLACING, RESIZING, SAMPLING
from export.coreml.interpret.shape import PAD_MODES, SHAPE
from export.coreml.interpret.slicing import SLICING
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

COMPUTING = {
    **ACTIVATION,
    **CONVOLUTION,
    **ELEMENTWISE,
    **NORMALIZATION,
    **PRODUCT,
    **REDUCTION,
    **RESIZING,
    **SCATTERING,
}
OPS: dict[str, Operation] = {**COMPUTING, **CONTROL, **GATHERING, **MAKING, **REPLACING, **SHAPE, **SLICING, **STATES}
"""All supported operations, by their MIL names."""
EXACT = frozenset({"abs", "ceil", "floor", "max_pool", "maximum", "minimum", "relu", "select", "sign"}) | frozenset(
    {"argsort", "one_hot", "reduce_argmax", "reduce_argmin", "reduce_max", "reduce_min", "topk"}
)
"""Operations that return only numbers from their inputs, or integers."""
ROUNDED = frozenset(COMPUTING) - EXACT
"""Operations whose float16 results are rounded; the others need no rounding."""
VARIADIC = frozenset({"values", "loop_vars", "ref_tensors", "begins", "ends", "end_masks"})
"""Parameters that take several values."""
EARLIER_OPSETS = frozenset({"CoreML5", "CoreML6"})
"""The operation sets of iOS 15 and 16."""
CHOICES: dict[tuple[str, str], Collection[str]] = {
    ("avg_pool", "pad_type"): PADDINGS,
    ("cast", "dtype"): DTYPES,
    ("conv", "pad_type"): PADDINGS,
    ("conv_transpose", "pad_type"): TRANSPOSED_SIZES,
    ("gelu", "mode"): GELU_MODES,
    ("l2_pool", "pad_type"): PADDINGS,
    ("max_pool", "pad_type"): PADDINGS,
    ("pad", "mode"): PAD_MODES,
    ("quantize", "output_dtype"): ("int8", "uint8"),
    ("reduce_argmax", "output_dtype"): INDEX_DTYPES,
    ("reduce_argmin", "output_dtype"): INDEX_DTYPES,
    ("resize", "interpolation_mode"): INTERPOLATIONS,
    ("resize", "sampling_mode"): SAMPLING,
    ("resize_bilinear", "sampling_mode"): SAMPLING,
    ("scatter", "mode"): SCATTERS,
    ("scatter_along_axis", "mode"): SCATTERS,
    ("scatter_nd", "mode"): SCATTERS,
    ("topk", "output_indices_dtype"): INDEX_DTYPES,
}
"""Supported values of string attributes, except for equations."""
Constants = Mapping[str, Any]


def whole_factors(constants: Constants) -> None:
    """Raise `ExportError` for upsampling by factors that are not whole."""
    for name in ("scale_factor_height", "scale_factor_width"):
        factor = constants.get(name)
        if isinstance(factor, Tensor) and not float(factor).is_integer():
            raise ExportError(f"upsample_nearest_neighbor: expected whole scale factors, got {float(factor)}")


def plain_nearest(constants: Constants) -> None:
    """Raise `ExportError` for a nearest-neighbor sampling mode whose rounding is not documented."""
    modes = constants.get("interpolation_mode"), constants.get("sampling_mode", "DEFAULT")
    if modes[0] == "NEAREST_NEIGHBOR" and modes[1] != "DEFAULT":
        raise ExportError(
            f"resize: expected sampling_mode to be 'DEFAULT' for nearest neighbours, got {quoted(modes[1])}"
        )


def windows_inside(constants: Constants) -> None:
    """Raise `ExportError` for pooling windows that extend beyond the padding."""
    if bool(constants.get("ceil_mode", False)):
        raise ExportError("l2_pool: expected ceil_mode to be False, got True")


def known_equation(constants: Constants) -> None:
    """Raise `ExportError` for an equation that is not a product of two tensors."""
    letters(constants.get("equation", ""), 2)


CHECKS: dict[str, Callable[[Constants], None]] = {
    "einsum": known_equation,
    "l2_pool": windows_inside,
    "resize": plain_nearest,
    "upsample_nearest_neighbor": whole_factors,
}
"""Further checks of attributes, by operation."""


def interpreted(operation: str, name: str, opset: str) -> Operation:
    """Return the function of a MIL operation; raises `ExportError` with its name if there is none."""
    if operation not in OPS:
        raise ExportError(f"expected only known operations, got {quoted(operation)} ({name}); add it to interpret/")
    return FROM_END.get(operation, OPS[operation]) if opset in EARLIER_OPSETS else OPS[operation]


@functools.cache
def parameters_of(function: Operation) -> inspect.Signature:
    """Return the signature of a function."""
    return inspect.signature(function)


def check_attributes(operation: str, name: str, function: Operation, operands: Mapping[str, Any]) -> None:
    """Check that an operation's parameters are supported; `operands` has the values of the constant ones.

    Raises:
        ExportError: a parameter is missing or unknown, or has an unsupported value.
    """
    blocks = {"blocks": ()} if operation in CONTROL else {}
    try:
        parameters_of(function).bind(**operands, **blocks)
    except TypeError as error:
        raise ExportError(f"{operation} {quoted(name)}: expected supported parameters, got: {error}") from None
    for parameter, value in operands.items():
        if isinstance(value, str) and parameter != "equation":
            known = CHOICES.get((operation, parameter), ())
            if value not in known:
                raise ExportError(
                    f"{operation}: expected {parameter} to be one of {sorted(known)}, got {quoted(value)}"
                )
    CHECKS.get(operation, lambda constants: None)(operands)
