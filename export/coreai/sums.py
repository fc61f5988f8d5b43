"""How products of float16 matrices are added up when Apple's runtime runs a program on this computer.

On Linux the runtime adds one term of a float16 matrix product after another in half, so that a sum of 4096 ones is
2048.  It takes a hundred times as long as its convolutions, which add in float32 (benchmarks/coreai/sums.py).
`Sums.FLOAT32`, the default, computes such products in float32 and rounds the results to half; the weights and
everything else stay as stored.  `Sums.AS_STORED` runs the program as it is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from export.coreai.sources import nested
from export.coreai.toolchain import import_coreai

PRODUCT = "batch_matmul"
"""Part of the names of matrix products in Core AI's dialect."""


class Sums(StrEnum):
    """How products of float16 matrices are added up."""

    FLOAT32 = "float32"
    AS_STORED = "as-stored"


def widen_products(module: Any) -> int:
    """Let every float16 matrix product of an MLIR module be computed in float32; returns their number."""
    ir, dialect = import_coreai("coreai._compiler.ir"), import_coreai("coreai._compiler.dialects.coreai")
    with module.context:
        half, single = ir.F16Type.get(), ir.F32Type.get()
    changed = 0
    for operation in list(nested(module.operation)):
        if PRODUCT not in operation.name or operation.results[0].type.element_type != half:
            continue
        changed += 1
        result = operation.results[0]
        kind = result.type
        with operation.location:
            with ir.InsertionPoint(operation):
                for index, operand in enumerate(operation.operands):
                    wide = ir.RankedTensorType.get(operand.type.shape, single)
                    operation.operands[index] = dialect.CastOp(wide, operand).result
            result.set_type(ir.RankedTensorType.get(kind.shape, single))
            with ir.InsertionPoint.after(operation):
                back = dialect.CastOp(kind, result)
        result.replace_all_uses_except(back.result, back.operation)
    return changed
