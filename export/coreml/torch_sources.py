"""Which torch module each operation of a Core ML program came from, kept inside the package.

Names do not tell it: coremltools' passes give their own operations names such as `transpose_31` or `add_0`, which
in the exported graph belong to other nodes.  So every node is numbered before the conversion in the field that
coremltools passes on, through all of its passes, to the operations it makes of a node ("debug_handle").
A package keeps the result in its metadata, compressed: some kilobytes at Stable Diffusion's size.
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

SOURCES_KEY = "mobile_diffusion.sources"
"""User-defined metadata of a package: JSON, module to the names of its values, by zlib and base64."""
LARGEST = 2**24
"""Characters that the names may take; what unpacks to more is not ours."""


def mark_sources(program: torch.export.ExportedProgram) -> tuple[str, ...]:
    """Give every node of an exported program the number of its module; returns the modules by number.

    A module is named as `nn.Module.get_submodule` takes it; "" is the outermost.
    """
    numbers: dict[str, int] = {}
    for node in program.graph_module.graph.nodes:
        stack = node.meta.get("nn_module_stack")
        if stack:
            path, _ = list(stack.values())[-1]
            node.meta["debug_handle"] = numbers.setdefault(without_call(path), len(numbers))
    return tuple(numbers)


def without_call(path: str) -> str:
    """A module's path without the number of the call, which torch.export appends from the second call on."""
    return re.sub(r"@\d+", "", path)


def sources_metadata(program: Any, modules: Sequence[str]) -> dict[str, str]:
    """The metadata entry that `read_sources` reads back, of a converted MIL program and what `mark_sources` gave."""
    from coremltools.converters.mil.mil.scope import ScopeSource

    names: dict[str, list[str]] = {}
    for operation in program.functions["main"].operations:
        (number,) = operation.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE) or [None]
        if operation.op_type != "const" and number is not None:
            names.setdefault(modules[number], []).extend(output.name for output in operation.outputs)
    text = json.dumps({module: " ".join(values) for module, values in names.items()})
    return {SOURCES_KEY: base64.b64encode(zlib.compress(text.encode(), 9)).decode()}


def read_sources(spec: Any) -> dict[str, str]:
    """Of a package's specification: name of a value to the module that computed it; empty for other tools' packages.

    Raises:
        ExportError: the entry is there and is damaged.
    """
    packed = spec.description.metadata.userDefined.get(SOURCES_KEY)
    if not packed:
        return {}
    try:
        unpacker = zlib.decompressobj()
        names = json.loads(unpacker.decompress(base64.b64decode(packed, validate=True), LARGEST))
    except (binascii.Error, zlib.error, ValueError):
        names = None
    if not isinstance(names, dict) or not all(isinstance(values, str) for values in names.values()):
        raise ExportError(f"{SOURCES_KEY}: expected names of values by module, got {packed[:40]!r}; export it again")
    return {value: module for module, values in names.items() for value in values.split()}


def source_of(outputs: Sequence[str], sources: Mapping[str, str]) -> str | None:
    """The module of an operation that writes these values; None where it is not known."""
    return next((sources[name] for name in outputs if name in sources), None)
