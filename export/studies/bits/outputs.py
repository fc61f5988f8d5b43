"""Compares every layer's output with compressed weights and without, on one input.

Both packages are interpreted from their files.  The second run uses its own values from the first layer on, so a row
shows the error accumulated so far; a layer with wrong weights is clearly worse than the one in front of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from export.bundle.bundle import open_bundle
from export.bundle.manifest_parts import MANIFEST
from export.coreml.compress.layers import layers_of
from export.coreml.interpret import Instruction, Observer, Program
from export.coreml.package_archive import CoreMLPackage
from export.coreml.structure import signature
from export.parity.golden import read_golden
from export.parity.trajectories import Trajectory, latents_of
from export.signatures import HINT, TensorSpec
from mobile_diffusion.decibels import snr_db
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ExportError
from mobile_diffusion.tiles import image_tiles, latent_tiles

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LayerOutput:
    """The distance of one value from its original."""

    layer: str
    """Name of its weight; "" for an output of the program."""
    value: str
    """Its name in the program."""
    snr_db: float


def compare_outputs(source: Path, compressed: Path, arrays: Arrays) -> tuple[LayerOutput, ...]:
    """Run both packages on an input; compare the results of all compressible layers, and the outputs.

    Raises:
        ExportError: a value is not finite with compressed weights, or is missing.
    """
    layers = {value: layer.name for layer in layers_of(CoreMLPackage.open(source)) for value in layer.results}
    found: list[LayerOutput] = []
    with tempfile.TemporaryDirectory() as kept:
        wanted = Program.open(source).run(_keeper(layers, Path(kept)), **arrays)
        got = Program.open(compressed).run(_comparer(layers, Path(kept), found), **arrays)
    if len({row.value for row in found}) != len(layers):
        raise ExportError(f"{compressed}: expected {len(layers)} values of compressed layers, got {len(found)}")
    return (*found, *(_compared("", name, wanted[name], got[name]) for name in wanted))


def _keeper(layers: Mapping[str, str], folder: Path) -> Observer:
    """Stores the values of layers in files, because those of a large model do not fit in memory."""

    def keep(instruction: Instruction, _: Any, __: Any, stored: tuple[Tensor, ...]) -> None:
        for name, value in zip(instruction.outputs, stored, strict=True):
            if name in layers:
                np.save(folder / f"{list(layers).index(name)}.npy", value.half().numpy())

    return keep


def _comparer(layers: Mapping[str, str], folder: Path, found: list[LayerOutput]) -> Observer:
    """Compares the values of layers with the stored ones."""

    def compare(instruction: Instruction, _: Any, __: Any, stored: tuple[Tensor, ...]) -> None:
        for name, value in zip(instruction.outputs, stored, strict=True):
            if name in layers:
                wanted = np.load(folder / f"{list(layers).index(name)}.npy")
                found.append(_compared(layers[name], name, wanted, value.numpy()))

    return compare


def _compared(layer: str, name: str, wanted: NDArray[Any], got: NDArray[Any]) -> LayerOutput:
    if not np.isfinite(got).all():
        raise ExportError(f"{layer or name}: expected finite values with compressed weights, got NaN or infinity")
    return LayerOutput(layer, name, snr_db(wanted, got))


def inputs_for(package: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """Inputs for a package, and where they come from: its bundle's golden vectors, or seeded numbers."""
    if (package.parent / MANIFEST).is_file():
        bundle = open_bundle(package.parent, verify=False)
        trajectory = read_golden(bundle.path, bundle.manifest.golden)[0]
        arrays = recorded_inputs(package.stem, trajectory, bundle.settings())
        return arrays, f"golden vectors of {package.parent}: {trajectory.case}"
    generator = np.random.default_rng(0)
    inputs, _ = signature(CoreMLPackage.open(package).spec)
    return {spec.name: _seeded(spec, generator) for spec in inputs}, "seeded normal numbers"


def recorded_inputs(stage: str, drawn: Trajectory, settings: DrawSettings) -> dict[str, NDArray[Any]]:
    """The inputs of a stage in a recorded drawing; for `denoise` those of the middle step."""
    if stage == "encode_text":
        return dict(drawn.texts[0])
    if stage == "decode_image":
        return {"latents": next(latent_tiles(settings, latents_of(drawn.states[-1:], settings)))}
    if stage == "encode_image":
        return {"image": next(image_tiles(settings, drawn.image))}
    if stage == HINT and drawn.hints is not None:
        return {"hints": drawn.hints}
    return drawn.step_inputs(drawn.steps // 2, settings)


def _seeded(spec: TensorSpec, generator: np.random.Generator) -> NDArray[Any]:
    if spec.dtype == "int32":
        return np.ones(spec.shape, np.int32)
    return generator.standard_normal(spec.shape).astype(np.float32)
