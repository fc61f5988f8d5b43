"""Reads a function of a package's specification into instructions: names become numbered slots, constants values.

An operand is the name of a value (of this block or of an outer one) or a value inside the operation.  Parameters that
the package omits have MIL's defaults, which are also the defaults of our functions.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.coreml.interpret.control import CONTROL
from export.coreml.interpret.decompress import DECOMPRESSIONS
from export.coreml.interpret.instruction import Block, Instruction, Shape, finished_block
from export.coreml.interpret.operations import VARIADIC, check_attributes, interpreted
from export.coreml.interpret.weights import Store, Value, Weight, check_finite, held
from export.coreml.package_archive import CoreMLPackage, dtype_of, shape_of
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

LARGE = 2**16
"""Count of numbers from which a constant in a file is read only when an operation needs it."""
Scope = MutableMapping[str, int]
"""Maps the names of a block and of its outer blocks to slots."""
Read = Callable[[], Any]


class Reader:
    """Reads a function: numbers its values and keeps its constants."""

    def __init__(self, package: CoreMLPackage, opset: str, infinite: bool = False) -> None:
        self.package = package
        self.opset = opset
        self.infinite = infinite
        self.store = Store()
        self.constants: dict[int, Value] = {}
        self.names: list[str] = []
        """The name of each slot."""

    def new_slot(self, name: str) -> int:
        """Return a new slot for a value with this name."""
        self.names.append(name)
        return len(self.names) - 1

    def define(self, names: Sequence[str], scope: Scope) -> tuple[int, ...]:
        """Return new slots for values that a block computes or takes, and add them to the scope."""
        slots = tuple(map(self.new_slot, names))
        scope.update(zip(names, slots, strict=True))
        return slots

    def block(self, message: Any, inputs: Sequence[str], outer: Scope) -> Block:
        """Read the operations of a block."""
        scope: Scope = ChainMap({}, outer)
        given = self.define(inputs, scope)
        drafts = []
        for operation in message.operations:
            if operation.type == "const":
                self.constant(operation, scope)
            elif operation.type.startswith("constexpr_"):
                self.compressed(operation, scope)
            else:
                drafts.append(self.instruction(operation, scope))
        outputs = [self.known(name, scope, "a block's output") for name in message.outputs]
        return finished_block(given, drafts, outputs, self.constants)

    def known(self, name: str, scope: Scope, where: str) -> int:
        """Return the slot of a name; raises `ExportError` if no earlier operation has computed it."""
        if name not in scope:
            raise ExportError(
                f"{where}: expected a value that was computed earlier, got {quoted(name)}; export it again"
            )
        return scope[name]

    def instruction(self, operation: Any, scope: Scope) -> Instruction:
        """Read an operation of the program."""
        name = name_of(operation)
        function = interpreted(operation.type, name, self.opset)
        only_attributes(operation, name, frozenset())
        operands = {key: self.operand(operation, key, bound, scope) for key, bound in operation.inputs.items()}
        check_attributes(operation.type, name, function, {key: self.value_of(slot) for key, slot in operands.items()})
        if bool(operation.blocks) != (operation.type in CONTROL):
            raise ExportError(
                f"{operation.type} {quoted(name)}: expected blocks of branches and loops only; export it again"
            )
        blocks = tuple(self.block(each, [one.name for one in each.inputs], scope) for each in operation.blocks)
        types = [each.type.tensorType for each in operation.outputs]
        outputs = tuple(each.name for each in operation.outputs)
        return Instruction(
            name,
            operation.type,
            function,
            operands,
            self.define(outputs, scope),
            tuple(map(dtype_of, types)),
            tuple(map(declared_shape, types)),
            outputs,
            blocks,
        )

    def operand(self, operation: Any, parameter: str, bound: Any, scope: Scope) -> int | tuple[int, ...]:
        """Return the slot, or slots, of a parameter."""
        where = f"{operation.type} {quoted(name_of(operation))}"
        slots = tuple(
            self.known(each.name, scope, where)
            if each.WhichOneof("binding") == "name"
            else self.inline(each.value, f"{name_of(operation)}.{parameter}")
            for each in bound.arguments
        )
        return slots[0] if len(slots) == 1 and parameter not in VARIADIC else slots

    def value_of(self, slot: int | tuple[int, ...]) -> Any:
        """Return the value of a constant operand; None if it is computed when the program runs."""
        value = None if isinstance(slot, tuple) else self.constants.get(slot)
        return None if isinstance(value, Weight) else value

    def inline(self, value: Any, name: str) -> int:
        """Return a new slot for a value inside an operation."""
        slot = self.new_slot(name)
        self.constants[slot] = self.held(value, name)
        return slot

    def constant(self, operation: Any, scope: Scope) -> None:
        """Read a constant of the program."""
        name = name_of(operation)
        only_attributes(operation, name, frozenset({"val"}))
        if "val" not in operation.attributes or len(operation.outputs) != 1:
            raise ExportError(f"const {quoted(name)}: expected one value, got none; export it again")
        (slot,) = self.define([operation.outputs[0].name], scope)
        self.constants[slot] = self.held(operation.attributes["val"], operation.outputs[0].name)

    def held(self, value: Any, name: str) -> Value:
        """Return a constant in the interpreter's form: a string, a tensor, or a weight that stays in its file."""
        if value.WhichOneof("value") == "blobFileValue" and self.package.record(value).count >= LARGE:
            return Weight(name, lambda: self.package.value(value), self.store, self.infinite)
        array = self.package.value(value)
        if not isinstance(array, np.ndarray):
            return array
        tensor = held(array).clone()
        check_finite(name, tensor, self.infinite)
        return tensor

    def compressed(self, operation: Any, scope: Scope) -> None:
        """Read a compressed constant; its parts are attributes up to iOS 17 and inputs from iOS 18 on."""
        name = name_of(operation)
        if operation.type not in DECOMPRESSIONS:
            raise ExportError(
                f"expected only known operations, got {quoted(operation.type)} ({name}); decompress it first"
            )
        attributes = {key: value for key, value in operation.attributes.items() if key != "name"}
        parts = {key: self.stored(value) for key, value in attributes.items()}
        for key, bound in operation.inputs.items():
            parts[key] = self.part(operation, bound, scope)
        check_parts(operation.type, name, parts)
        decompress = DECOMPRESSIONS[operation.type]
        for place, output in enumerate(operation.outputs):
            (slot,) = self.define([output.name], scope)
            shape, single = declared_shape(output.type.tensorType), len(operation.outputs) == 1
            read = decompressed(decompress, parts, None if single else place, shape, output.name)
            self.constants[slot] = Weight(output.name, read, self.store, self.infinite)

    def part(self, operation: Any, bound: Any, scope: Scope) -> Read:
        """Return a function that reads one input of a compressed constant."""
        (binding,) = bound.arguments
        if binding.WhichOneof("binding") == "value":
            return self.stored(binding.value)
        value = self.constants.get(self.known(binding.name, scope, f"{operation.type} {quoted(name_of(operation))}"))
        if isinstance(value, Weight):
            return value.read
        if value is None:
            raise ExportError(f"{operation.type}: expected constants, got {quoted(binding.name)}, which is computed")
        return lambda: value if isinstance(value, str) else value.numpy()

    def stored(self, value: Any) -> Read:
        """Return a function that reads a value of the package; raises `ExportError` now if its record is missing."""
        if value.WhichOneof("value") == "blobFileValue":
            self.package.record(value)
        return lambda: self.package.value(value)


def decompressed(
    function: Callable[..., Any], parts: Mapping[str, Read], place: int | None, shape: Shape | None, name: str
) -> Callable[[], NDArray[Any]]:
    """Return a function that decompresses a constant; `place` selects one of several results."""

    def read() -> NDArray[Any]:
        result = function(**{key: part() for key, part in parts.items()})
        array: NDArray[Any] = result if place is None else result[place]
        if shape is not None and array.shape != shape:
            raise ExportError(f"constant {quoted(name)}: expected shape {shape}, got {array.shape}; compress it again")
        return array

    return read


def check_parts(operation: str, name: str, parts: Mapping[str, Read]) -> None:
    """Raise `ExportError` if a parameter of a compressed constant is not supported."""
    check_attributes(operation, name, DECOMPRESSIONS[operation], dict.fromkeys(parts))


def name_of(operation: Any) -> str:
    """Return an operation's name, or else the name of its first output."""
    if "name" in operation.attributes:
        return str(operation.attributes["name"].immediateValue.tensor.strings.values[0])
    return operation.outputs[0].name if operation.outputs else operation.type


def only_attributes(operation: Any, name: str, known: frozenset[str]) -> None:
    """Raise `ExportError` if an operation has attributes other than its name and the known ones."""
    for attribute in operation.attributes:
        if attribute != "name" and attribute not in known:
            raise ExportError(
                f"{operation.type} {quoted(name)}: expected only supported attributes, got {quoted(attribute)}"
            )


def declared_shape(tensor: Any) -> Shape | None:
    """Return the shape that a program declares; None if it is not static."""
    try:
        return shape_of(tensor)
    except ExportError:
        return None
