"""Verifies a saved asset: decodes every compressed weight from the file and compares it with what was promised.

What the numbers then compute is found by Apple's runtime, which decodes them itself (runners/coreai.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.coreai.compress.decode import decode_integers, decode_palette, unpack_bits
from export.coreai.compress.weights import stored_bytes
from export.coreai.compress.write import Promise, digest_of
from export.coreai.sources import nested
from export.coreai.toolchain import import_coreai
from mobile_diffusion.errors import ExportError

LUT, BLOCKWISE = "coreai.lut_to_dense", "coreai.blockwise_shift_scale"
ADVICE = "export it again, and report it if it happens twice"


def verify_asset(path: Path, promised: Sequence[Promise]) -> None:
    """Raise `ExportError` unless the compressed weights of an asset are the promised ones, in this order."""
    module = import_coreai("coreai.authoring").AIModelAsset.load(str(path)).program._module._mlir_module
    operations = [each for each in nested(module.operation) if each.name in (LUT, BLOCKWISE)]
    if len(operations) != len(promised):
        raise ExportError(f"{path}: expected {len(promised)} compressed weights, got {len(operations)}; {ADVICE}")
    for operation, promise in zip(operations, promised, strict=True):
        decoded = decode(operation)
        if decoded.shape != promise.shape or digest_of(decoded) != promise.digest:
            raise ExportError(f"{path}: expected {promise.recipe} of {promise.name}, got other numbers; {ADVICE}")


def decode(operation: Any) -> NDArray[np.float16]:
    """Return the weight that an operation decodes, from its constants."""
    operands = [operand.owner for operand in operation.operands]
    if operation.name == LUT:
        codes, table, axis = (numbers(each) for each in operands)
        return decode_palette(codes, table, int(axis))
    codes, scale = (numbers(each) for each in operands[:2])
    return decode_integers(codes, scale)


def numbers(constant: Any) -> NDArray[Any]:
    """Return the numbers of a constant: float16, int16, or whole numbers of 2 to 8 bits."""
    kind = constant.results[0].type
    element, data = kind.element_type, stored_bytes(constant)
    ir = import_coreai("coreai._compiler.ir")
    if not isinstance(element, ir.IntegerType):
        return data.view(np.float16).reshape(kind.shape)
    if element.width > 8:
        return data.view(np.int16).reshape(kind.shape)
    return unpack_bits(data, math.prod(kind.shape), element.width, element.is_signed).reshape(kind.shape)
