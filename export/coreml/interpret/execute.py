"""Runs instructions one after another on torch's CPU kernels, and rounds their results as the program stores them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import Tensor

from export.coreml.interpret.accumulate import ACCUMULATED
from export.coreml.interpret.elementwise import DTYPES
from export.coreml.interpret.instruction import Block, Instruction, Observer
from export.coreml.interpret.operations import ROUNDED
from export.coreml.interpret.weights import Value, Weight
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

PRECISIONS = ("as-stored", "fp16-accumulate", "float32")
"""Round results that the program stores in float16; also round running sums inside operations; or compute everything in
float32, to tell rounding errors from a wrong graph."""
CHUNK = 2**18
"""Numbers that are rounded at once."""
WRONG = (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError)
"""The exceptions that torch raises for invalid operands."""


def run_block(block: Block, values: dict[int, Value], precision: str, observer: Observer | None) -> tuple[Value, ...]:
    """Return the results of a block; `values` has its inputs and the outer slots that it reads."""
    for instruction in block.instructions:
        execute(instruction, values, precision, observer)
    return tuple(values[slot] for slot in block.outputs)


def call_block(
    block: Block, values: dict[int, Value], precision: str, observer: Observer | None, *inputs: Tensor
) -> tuple[Value, ...]:
    """Run a block of a branch or a loop as a function of its inputs, and drop its own values afterwards."""
    values.update(zip(block.inputs, inputs, strict=True))
    results = run_block(block, values, precision, observer)
    for slot in block.left:
        values.pop(slot, None)
    return tuple(map(wide, results))


def execute(
    instruction: Instruction, values: dict[int, Value], precision: str = "as-stored", observer: Observer | None = None
) -> None:
    """Compute the results of one instruction into `values`, and drop values that are no longer needed."""
    operands = {
        name: tuple(wide(values[one]) for one in slot) if isinstance(slot, tuple) else wide(values[slot])
        for name, slot in instruction.operands.items()
    }
    calls = tuple(partial(call_block, block, values, precision, observer) for block in instruction.blocks)
    results = compute(instruction, {"blocks": calls, **operands} if calls else operands, precision)
    read = None if observer else memory_of(operands.values())  # an observer also sees the results before rounding
    if not observer:
        del operands  # float32 copies of weights
    half = precision != "float32" and instruction.operation in ROUNDED
    stored = tuple(
        rounded(result, read is None or bool(memory_of([result]) & read)) if half and dtype == "fp16" else result
        for dtype, result in zip(instruction.dtypes, results, strict=True)
    )
    values.update(zip(instruction.results, stored, strict=True))
    if observer:
        observer(instruction, operands, results, stored)
    for slot in instruction.last_uses:
        values.pop(slot, None)


def compute(instruction: Instruction, operands: dict[str, Any], precision: str) -> tuple[Tensor, ...]:
    """Return the results of an instruction before rounding.

    Raises:
        ExportError: an operand is invalid, or a result does not have the type or shape that the program declares.
    """
    function = instruction.function
    if precision == "fp16-accumulate" and instruction.dtypes[:1] == ("fp16",):
        function = ACCUMULATED.get(instruction.operation, function)
    where = f"{instruction.operation} {quoted(instruction.name)}"
    try:
        results = function(**operands)
    except WRONG as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(f"{where}: expected valid operands, got {reason}; export it again") from error
    results = results if isinstance(results, tuple) else (results,)
    check_results(instruction, where, results)
    return results


def check_results(instruction: Instruction, where: str, results: tuple[Tensor, ...]) -> None:
    """Check results against the number, types and shapes that the program declares."""
    if len(results) != len(instruction.dtypes):
        raise ExportError(f"{where}: expected {len(instruction.dtypes)} results, got {len(results)}; export it again")
    for place, (dtype, result) in enumerate(zip(instruction.dtypes, results, strict=True)):
        if result.dtype != DTYPES.get(dtype):
            raise ExportError(f"{where}: expected {dtype}, got {result.dtype}; export it again")
        shape = instruction.shapes[place] if instruction.shapes else None
        if shape is not None and result.shape != shape:
            raise ExportError(f"{where}: expected shape {shape}, got {tuple(result.shape)}; export it again")


def memory_of(values: Iterable[Value | tuple[Value, ...]]) -> set[int]:
    """Return the memory addresses of tensors; two tensors with an address in common may share memory."""
    flat = (one for value in values for one in (value if isinstance(value, tuple) else (value,)))
    return {one.untyped_storage().data_ptr() for one in flat if isinstance(one, Tensor)}


def wide(value: Value) -> Value:
    """Return a value in the form that operations take; a weight is read, and becomes float32."""
    return value.tensor() if isinstance(value, Weight) else value


def rounded(value: Tensor, shared: bool) -> Tensor:
    """Return a float32 tensor with every number rounded to float16; rounds in place unless its memory is shared.

    It works in pieces, because the attention scores of Stable Diffusion alone take a gigabyte.
    """
    if shared:
        return value.half().float() if value.numel() < CHUNK else rounded(value.clone(), False)
    value = value.contiguous()
    for piece in value.view(-1).split(CHUNK):
        piece.copy_(piece.half())
    return value
