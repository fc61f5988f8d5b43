"""Reads the constants of a Core AI asset, with the torch module that each belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from export.coreai.asset import check_asset
from export.coreai.compress.weights import CONSTANT, module_of, stored_bytes
from export.coreai.sources import nested
from export.coreai.toolchain import import_coreai

DTYPES = {"f16": "<f2", "f32": "<f4", "si8": "i1", "ui8": "u1", "si32": "<i4", "si64": "<i8"}
"""The name of an element type -> numpy's dtype; of other types the bytes are returned."""


def constants_of(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the name and the numbers of every constant in the asset's order; raises `ExportError` if it is none."""
    check_asset(path)
    module = import_coreai("coreai.authoring").AIModelAsset.load(str(path)).program._module._mlir_module
    for number, operation in enumerate(each for each in nested(module.operation) if each.name == CONSTANT):
        kind = operation.results[0].type
        data, dtype = stored_bytes(operation), DTYPES.get(str(kind.element_type))
        array = data if dtype is None else data.view(dtype).reshape(tuple(kind.shape))
        yield f"{module_of(operation)}: constant {number}", array
