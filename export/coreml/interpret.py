"""An interpreter of saved Core ML packages: what the program computes, on any machine, without a Mac.

A package is read back from disk with its weights and run operation by operation on torch's CPU kernels.
"As stored" means that every float16 value is rounded to float16 behind the operation that made it, so the
overflow and the rounding that the program itself asks for are seen here; how a device accumulates inside an
operation is not.
The operations are in ops_*.py; one that is not among them is refused by name when the package is opened.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.coreml.naming import stage_outputs
from export.coreml.ops_elementwise import DTYPES, ELEMENTWISE, Operation
from export.coreml.ops_nn import NEURAL
from export.coreml.ops_shape import SHAPE
from export.coreml.storage import mapped_weights
from export.coreml.structure import signature
from export.coreml.toolchain import import_coremltools, quiet_logs
from export.runners.protocol import check_arrays
from export.stages import TensorSpec
from mobile_diffusion.errors import ExportError

OPS: dict[str, Operation] = {**ELEMENTWISE, **SHAPE, **NEURAL}
"""Every operation that is interpreted, by its MIL name."""
ROUNDED = frozenset({**ELEMENTWISE, **NEURAL})
"""Operations whose float16 results are rounded; the others only move numbers."""
LARGE = 2**16
"""Elements from which a float16 constant stays in its file until an operation wants it in float32."""
CHUNK = 2**20
"""Elements that are rounded at a time."""
PRECISIONS = ("as-stored", "float32")
"""Round where the program says float16, or compute all in float32, to tell rounding from a wrong graph."""

Value = Tensor | str


@dataclass(frozen=True)
class Instruction:
    """One operation of a program, with its operands as numbered slots."""

    name: str
    operation: str
    function: Operation
    operands: dict[str, int | tuple[int, ...]]
    results: tuple[int, ...]
    dtypes: tuple[str, ...]
    """MIL dtype of each result."""
    last_uses: tuple[int, ...]
    """Slots that no later instruction reads."""

    def slots_read(self) -> list[int]:
        """The slots of all operands."""
        values = self.operands.values()
        return [slot for value in values for slot in (value if isinstance(value, tuple) else (value,))]


@dataclass(frozen=True)
class Program:
    """A package, opened: `run` it with arrays."""

    name: str
    """The package's, for messages."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    """Named as the package names them."""
    stage_names: dict[str, str]
    """Output name of the package to output name of the stage (naming.py)."""
    instructions: tuple[Instruction, ...]
    constants: dict[int, Value]
    """Values of the constant slots; large float16 weights are views of the package's file."""
    input_slots: dict[str, int]
    output_slots: dict[str, int]
    precision: str = "as-stored"
    """One of `PRECISIONS`."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ExportError(f"precision: expected one of {PRECISIONS}, got {self.precision!r}")

    @classmethod
    def open(cls, path: Path, precision: str = "as-stored") -> Program:
        """Read a saved `.mlpackage`.

        Raises:
            ExportError: not a package, or one with an operation or a parameter that is not interpreted.
        """
        spec, block_inputs, block = read_package(path)
        slots = Slots()
        input_slots = {name: slots.of(variable) for name, variable in block_inputs.items()}
        drafts = [slots.instruction(found) for found in block.operations if found.op_type != "const"]
        output_slots = {variable.name: slots.of(variable) for variable in block.outputs}
        kept = frozenset(output_slots.values()) | frozenset(slots.constants)
        inputs, outputs = signature(spec)
        return cls(
            path.stem,
            inputs,
            outputs,
            stage_outputs(spec),
            with_last_uses(drafts, kept),
            slots.constants,
            input_slots,
            output_slots,
            precision,
        )

    def run(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by the package's names, for inputs of exactly the declared names, dtypes and shapes.

        Raises:
            ExportError: an input is missing, unknown, or of another dtype or shape; an index is out of range.
        """
        values = dict(self.constants)
        ordered = check_arrays(self.name, self.inputs, arrays)
        for spec, array in zip(self.inputs, ordered, strict=True):
            values[self.input_slots[spec.name]] = torch.from_numpy(array)
        with torch.inference_mode():
            for instruction in self.instructions:
                execute(instruction, values, self.precision == "as-stored")
        return {name: array_of(values[slot]) for name, slot in self.output_slots.items()}


def array_of(value: Value) -> np.ndarray:
    """An output as an array of its own."""
    assert isinstance(value, Tensor)
    return value.contiguous().numpy().copy()


def execute(instruction: Instruction, values: dict[int, Value], rounding: bool) -> None:
    """Compute one instruction's results into `values` and forget what is not needed any more."""
    operands = {
        name: tuple(wide(values[one]) for one in slot) if isinstance(slot, tuple) else wide(values[slot])
        for name, slot in instruction.operands.items()
    }
    results = instruction.function(**operands)
    results = results if isinstance(results, tuple) else (results,)
    read = memory_of(operands.values())
    del operands  # float32 forms of weights
    for slot, dtype, result in zip(instruction.results, instruction.dtypes, results, strict=True):
        if result.dtype != DTYPES[dtype]:
            where = f"{instruction.operation} {instruction.name!r}"
            raise ExportError(f"{where}: expected {dtype}, got {result.dtype}")
        half = dtype == "fp16" and rounding and instruction.operation in ROUNDED
        values[slot] = rounded(result, bool(memory_of([result]) & read)) if half else result
    for slot in instruction.last_uses:
        del values[slot]


def memory_of(values: Iterable[Value | tuple[Value, ...]]) -> set[int]:
    """Where the numbers of tensors lie: two that have a place in common may share them."""
    flat = (one for value in values for one in (value if isinstance(value, tuple) else (value,)))
    return {one.untyped_storage().data_ptr() for one in flat if isinstance(one, Tensor)}


def wide(value: Value) -> Value:
    """A value as operations take it: what is held in float16 in float32."""
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.float16 else value


def rounded(value: Tensor, shared: bool) -> Tensor:
    """A float32 tensor with every number rounded to float16: in place, unless others share its memory.

    In pieces, because the attention scores of Stable Diffusion alone take a gigabyte.
    """
    value = value.clone() if shared else value.contiguous()
    for piece in value.view(-1).split(CHUNK):
        piece.copy_(piece.half())
    return value


class Slots:
    """Numbers the values of a program while it is read, and keeps its constants."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.constants: dict[int, Value] = {}

    def of(self, variable: Any) -> int:
        """The slot of a MIL variable; the first meeting with a constant converts it."""
        if id(variable) not in self.numbers:
            self.numbers[id(variable)] = len(self.numbers)
            if variable.op is not None and variable.op.op_type == "const":
                self.constants[self.numbers[id(variable)]] = constant(variable)
        return self.numbers[id(variable)]

    def instruction(self, operation: Any) -> Instruction:
        """A MIL operation, its last uses still unknown."""
        function = interpreted(operation.op_type, operation.name)
        operands = {
            name: tuple(map(self.of, value)) if isinstance(value, (list, tuple)) else self.of(value)
            for name, value in operation.inputs.items()
            if value is not None
        }
        try:
            inspect.signature(function).bind(**operands)
        except TypeError as error:
            where = f"{operation.op_type} {operation.name!r}"
            raise ExportError(f"{where} has parameters that are not interpreted: {error}") from None
        dtypes = tuple(dtype_of(variable) for variable in operation.outputs)
        results = tuple(map(self.of, operation.outputs))
        return Instruction(operation.name, operation.op_type, function, operands, results, dtypes, ())


def interpreted(operation: str, name: str) -> Operation:
    """The function of a MIL operation; ExportError with its name when there is none."""
    if operation not in OPS:
        raise ExportError(f"expected only known operations, got {operation!r} ({name}); add it to ops_*.py")
    return OPS[operation]


def dtype_of(variable: Any) -> str:
    """MIL name of a variable's dtype."""
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(variable.dtype))


def constant(variable: Any) -> Value:
    """A constant as the interpreter holds it: a string, or a tensor of float32, int32, bool or, if large, float16."""
    value = variable.val
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray) and value.dtype == np.float16 and value.size >= LARGE:
        return torch.from_numpy(value)
    array = np.array(value)
    kind = {"f": np.float32, "i": np.int32, "u": np.int32, "b": np.bool_}[array.dtype.kind]
    return torch.from_numpy(np.ascontiguousarray(array).astype(kind).reshape(array.shape))


def with_last_uses(drafts: list[Instruction], kept: frozenset[int]) -> tuple[Instruction, ...]:
    """The instructions, each knowing which slots it is the last to read (or writes for nobody)."""
    seen = set(kept)
    finished: list[Instruction] = []
    for draft in reversed(drafts):
        used = (*draft.results, *draft.slots_read())
        last = tuple(dict.fromkeys(slot for slot in used if slot not in seen))
        seen.update(last)
        finished.append(dataclasses.replace(draft, last_uses=last))
    return tuple(reversed(finished))


def read_package(path: Path) -> tuple[Any, dict[str, Any], Any]:
    """Specification, inputs and body of a saved package's program."""
    ct = import_coremltools()
    try:
        with quiet_logs(), mapped_weights():
            from coremltools.converters.mil.frontend.milproto.load import load

            model = ct.models.MLModel(str(path), skip_model_load=True)
            spec = model.get_spec()
            version, weights = spec.specificationVersion, model.weights_dir
            program = load(spec, specification_version=version, file_weights_dir=weights)
    except Exception as error:  # what coremltools raises for a damaged package has no common base but this
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(f"{path}: expected a Core ML program: {reason}; export it again") from error
    function = program.functions["main"]
    return spec, dict(function.inputs), function
