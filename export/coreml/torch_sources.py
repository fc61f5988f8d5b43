"""Records inside a Core ML package from which torch module each operation came.

Names do not show this: coremltools' passes name their operations `transpose_31` or `add_0`, which are names of other
nodes in the exported graph.  Each node is therefore numbered before the conversion, in a field ("debug_handle") that
coremltools copies through all passes to the operations it makes of a node.  The package's metadata stores the result
compressed; for Stable Diffusion it takes a few kilobytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_json

SOURCES_KEY = "mobile_diffusion.sources"
"""Key in a package's user-defined metadata: JSON, module to names of values, compressed by zlib, in base64."""
LARGEST = 2**24
"""Most characters of the unpacked JSON; a larger entry was not written by us."""


def mark_sources(program: torch.export.ExportedProgram) -> tuple[str, ...]:
    """Give each node of an exported program the number of its module; returns the modules by number.

    A module has the name that `nn.Module.get_submodule` takes; "" is the outermost module.
    """
    numbers: dict[str, int] = {}
    for node in program.graph_module.graph.nodes:
        stack = node.meta.get("nn_module_stack")
        if stack:
            path, _ = list(stack.values())[-1]
            node.meta["debug_handle"] = numbers.setdefault(without_call(path), len(numbers))
    return tuple(numbers)


def without_call(path: str) -> str:
    """Return a module's path without the number that torch.export appends from the second call on."""
    return re.sub(r"@\d+", "", path)


def sources_metadata(program: Any, modules: Sequence[str]) -> dict[str, str]:
    """Return the metadata entry that `read_sources` reads.

    `program` is the converted MIL program, and `modules` is the result of `mark_sources`.
    """
    names: dict[str, list[str]] = {}
    for operation in program.functions["main"].operations:
        number = module_number(operation)
        if operation.op_type != "const" and number is not None:
            names.setdefault(modules[number], []).extend(output.name for output in operation.outputs)
    text = json.dumps({module: " ".join(values) for module, values in names.items()})
    return {SOURCES_KEY: base64.b64encode(zlib.compress(text.encode(), 9)).decode()}


def module_number(operation: Any) -> int | None:
    """Return the number that `mark_sources` gave to the module of a MIL operation; None if it came from none."""
    from coremltools.converters.mil.mil.scope import ScopeSource

    (number,) = operation.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE) or [None]
    return None if number is None else int(number)


def read_sources(spec: Any) -> dict[str, str]:
    """Return the module of each value by the value's name; empty for packages of other tools.

    Raises:
        ExportError: the metadata entry is damaged.
    """
    packed = spec.description.metadata.userDefined.get(SOURCES_KEY)
    if not packed:
        return {}
    try:
        unpacker = zlib.decompressobj()
        names = parse_json(unpacker.decompress(base64.b64decode(packed, validate=True), LARGEST))
    except (binascii.Error, zlib.error, ValueError):
        names = None
    if not isinstance(names, dict) or not all(isinstance(values, str) for values in names.values()):
        raise ExportError(
            f"{SOURCES_KEY}: expected names of values by module, got {quoted(packed[:40])}; export it again"
        )
    return {value: module for module, values in names.items() for value in values.split()}


def source_of(outputs: Sequence[str], sources: Mapping[str, str]) -> str | None:
    """Return the module of the operation that computes these values; None if it is not known."""
    return next((sources[name] for name in outputs if name in sources), None)
