"""Runs a saved program with Apple's runtime, in this process; runners/coreai.py does so in a process of its own.

On Linux, and on a Mac older than macOS 27, coreai-core compiles an asset into a folder and its own runtime loads it: it
runs on one thread of the processor.  The files are removed as soon as they are loaded.
On macOS 27 the system's own Core AI loads the asset itself; that was never run here.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.coreai.asset import check_asset
from export.coreai.sources import NOWHERE
from export.coreai.sums import Sums, widen_products
from export.coreai.toolchain import import_coreai
from export.signatures import TensorSpec, check_arrays
from mobile_diffusion.errors import ExportError

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class CompiledProgram:
    """One function of an asset, compiled and loaded."""

    stage: str
    function: Any
    """coreai.runtime.InferenceFunction."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    model: Any
    """coreai.runtime.AIModel, which owns the function."""
    modules: Mapping[int, str]
    """Torch module of each compiled operation, by its number; empty unless compiled for `values_inside`."""

    def run(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Return the outputs by name; raises `ExportError` unless `arrays` are exactly the inputs."""
        return asyncio.run(self._call(self.function, arrays))

    async def _call(self, function: Any, arrays: Mapping[str, np.ndarray]) -> Arrays:
        runtime = import_coreai("coreai.runtime")
        ordered = check_arrays(self.stage, self.inputs, arrays)
        given = {spec.name: runtime.NDArray(array) for spec, array in zip(self.inputs, ordered, strict=True)}
        found = await function(given)
        return {name: found[name].numpy().copy() for name in self.outputs}

    def values_inside(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Run once; return the last float value that each torch module computes, in the order of the program."""
        runtime = import_coreai("coreai.runtime")
        found: Arrays = {}

        def keep(values: list[Any], kind: str, place: Any) -> None:
            if kind != "output" or not values or values[0] is None:
                return
            value = np.array(runtime.NDArray._wrap(values[0]).numpy())
            if value.dtype.kind == "f":
                module = self.modules[place.id]
                found.pop(module, None)
                found[module] = value.astype(np.float32)

        wanted = [runtime.CompileIdentifiers(number) for number in self.modules]
        logger = runtime.IntermediateLogger(requested_intermediates=wanted, callback=keep)
        asyncio.run(self._call(self.model.load_function(self.function_name, intermediate_logger=logger), arrays))
        return found

    @property
    def function_name(self) -> str:
        """The function's name in the asset."""
        return str(self.function.desc.name)


def open_program(
    path: Path, stage: str, function: str, work: Path, sums: Sums = Sums.FLOAT32, inside: bool = False
) -> CompiledProgram:
    """Check, compile and load an asset.

    `work` is a folder for the compiled files, which are gone when this returns.  `inside` keeps what `values_inside`
    needs.

    Raises:
        ExportError: the asset is damaged or of another tool, has no such function, or cannot be compiled; or there is
            no room for the compiled files.
    """
    check_asset(path)
    size = sum(file.stat().st_size for file in path.iterdir())
    free = shutil.disk_usage(work).free
    if free < size:
        raise ExportError(
            f"{path}: expected {size / 1e6:.0f} MB of free disk in {work} to compile it, got {free / 1e6:.0f} MB; "
            "make room or set TMPDIR"
        )
    try:
        if uses_system():
            return asyncio.run(_load(path, path, stage, function, inside))
        with tempfile.TemporaryDirectory(suffix=".aimodelx", dir=work) as folder:
            write_compiled(path, Path(folder), sums, inside)
            return asyncio.run(_load(path, Path(folder), stage, function, inside))
    except (RuntimeError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ExportError(f"{path}: expected a Core AI program that Apple's runtime loads, got: {reason}") from error


def uses_system() -> bool:
    """Return whether coreai-core uses the system's Core AI, as it does on macOS 27, instead of its own runtime."""
    return sys.platform == "darwin" and bool(import_coreai("coreai.runtime")._use_os_coreai)


def write_compiled(path: Path, folder: Path, sums: Sums, inside: bool) -> None:
    """Compile an asset into a folder, as `AIModelAsset.executable()` does, with products in float32 if asked for."""
    authoring = import_coreai("coreai.authoring")
    compiler = import_coreai("coreai._compiler._mlir_libs._coreaiIR._bindings.compiler")
    program = authoring.AIModelAsset.load(str(path)).program
    module = program._module._mlir_module
    if sums is Sums.FLOAT32:
        widen_products(module)
    compiler.compile_to_binary(module=module, output_directory=folder, enable_debug_info=inside)
    compiler.serialize_module(module=module, path=folder / "main-universal.odix")


async def _load(path: Path, folder: Path, stage: str, function: str, inside: bool) -> CompiledProgram:
    model = await import_coreai("coreai.runtime").AIModel.load(path=folder)
    if function not in model.function_names:
        raise ExportError(f"{path}: expected the function {function}, got {', '.join(model.function_names) or 'none'}")
    loaded = model.load_function(function)
    description = loaded.desc
    inputs = tuple(_spec(name, description.input_descriptor(name)) for name in description.input_names)
    modules = _modules(model) if inside else {}
    return CompiledProgram(stage, loaded, inputs, tuple(description.output_names), model, modules)


def _spec(name: str, descriptor: Any) -> TensorSpec:
    return TensorSpec(name, str(descriptor.dtype), tuple(descriptor.shape))


def _modules(model: Any) -> dict[int, str]:
    """Torch module of each compiled operation: the first place in its location, where a composite was called."""
    records = (each for part in json.loads(model._debug_infos) for each in part["operations"])
    places = {each["odixId"]: [place["fileName"] for place in each["sourceLocations"]] for each in records}
    return {number: found[0] for number, found in places.items() if found and found[0] not in ("", NOWHERE)}
