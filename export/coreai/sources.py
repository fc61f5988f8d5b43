"""Records inside an asset from which torch module each of its operations came.

coreai-torch stores the stack of Python calls with each operation: names of files on the exporting computer, which no
asset should carry.  The name of the torch module takes their place, as the "file" of the operation's location.
Apple's compiler keeps locations, so a value that is logged while a program runs can be traced to its module
(program.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NODES = re.compile(r'identifiers = \["([^"]+)"')
"""Where an operation's location names the node of the exported graph that it was made of."""
NOWHERE = "-"
"""The module of an operation that belongs to none."""


def modules_of(program: torch.export.ExportedProgram) -> dict[str, str]:
    """Return the torch module of every node of a graph, by name; "-" for the stage's own module."""
    found = {}
    for node in program.graph_module.graph.nodes:
        stack = node.meta.get("nn_module_stack")
        path = next(reversed(stack.values()))[0] if stack else ""
        found[node.name] = re.sub(r"@\d+", "", path) or NOWHERE  # without the number of a repeated call
    return found


def replace_locations(program: Any, modules: Mapping[str, str]) -> None:
    """Replace every location in an AIProgram by its torch module and its position; `modules` is of `modules_of`."""
    from coreai._compiler._mlir_libs._coreaiIR._bindings.mlir import set_block_arg_location, set_op_location
    from coreai._compiler.ir import Location

    module = program._module._mlir_module.operation
    nowhere = Location.file("", 0, 0, context=module.context)
    locations = []
    for position, operation in enumerate(nested(module)):
        node = NODES.search(str(operation.location))
        name = modules.get(node[1], NOWHERE) if node else NOWHERE
        locations.append((operation, Location.file(name, position, 0, context=module.context)))
    set_op_location(module, nowhere)
    for operation, location in locations:
        set_op_location(operation, location)
        for argument in (each for region in operation.regions for block in region for each in block.arguments):
            set_block_arg_location(argument, nowhere)


def nested(operation: Any) -> Iterator[Any]:
    """Yield all operations inside an MLIR operation, in their order."""
    for region in operation.regions:
        for block in region:
            for inner in block:
                yield inner.operation
                yield from nested(inner.operation)
