"""Runs Core ML packages with Core ML itself; only on a Mac."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from export.coreml.naming import stage_outputs
from export.coreml.options import COMPUTE_UNITS
from export.coreml.structure import signature
from export.coreml.toolchain import import_coremltools
from export.rewrites.pixels import fractions
from export.runners.runner import check_stage
from export.signatures import TensorSpec, check_arrays
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted


@dataclass(frozen=True)
class LoadedModel:
    """One stage's package, compiled by Core ML."""

    model: Any
    """coremltools.models.MLModel, or CompiledMLModel."""
    inputs: tuple[TensorSpec, ...]
    outputs: Mapping[str, str]
    """Output name of the package to output name of the stage."""


@dataclass(frozen=True)
class CoreMLNativeRunner:
    """coremltools' `MLModel.predict`, which works only on macOS.

    Unverified: this project is built and tested on Linux, where Core ML cannot run.  On a Mac, compare it with
    `CoreMLInterpreterRunner` before you rely on it.
    """

    models: Mapping[str, LoadedModel]
    name: ClassVar[str] = "coreml-native"

    @classmethod
    def load(
        cls, folder: Path, artifacts: Mapping[str, str], threads: int = 2, compute_units: str = "CPU_AND_NE"
    ) -> CoreMLNativeRunner:
        """Compile and load the package of every stage; `threads` has no effect, Core ML chooses its own.

        Raises:
            ExportError: not on macOS, or an unknown compute unit.
        """
        if compute_units not in COMPUTE_UNITS:
            raise ExportError(f"compute_units: expected one of {COMPUTE_UNITS}, got {quoted(compute_units)}")
        if sys.platform != "darwin":
            raise ExportError(f"coreml-native: expected macOS, got {sys.platform}; use coreml-interpreter")
        return cls({stage: _load(folder / path, compute_units) for stage, path in artifacts.items()})

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The output of one stage by its name."""
        check_stage(stage, self.models)
        loaded = self.models[stage]
        ordered = check_arrays(stage, loaded.inputs, arrays)
        feed = {spec.name: array for spec, array in zip(loaded.inputs, ordered, strict=True)}
        predicted = loaded.model.predict(feed)
        return {name: array_of(predicted[package]) for package, name in loaded.outputs.items()}


def array_of(value: Any) -> np.ndarray:
    """An output as the stage defines it: a pixel buffer, which arrives as a picture, becomes float32 (1, 3, H, W)."""
    if not isinstance(value, Image.Image):
        return np.asarray(value)
    return fractions(np.asarray(value.convert("RGB")))


def loaded_model(model: Any, spec: Any) -> LoadedModel:
    """A model of coremltools with the inputs and outputs of its package's specification."""
    return LoadedModel(model, signature(spec)[0], stage_outputs(spec))


def _load(path: Path, compute_units: str) -> LoadedModel:
    ct = import_coremltools()
    model = ct.models.MLModel(str(path), compute_units=getattr(ct.ComputeUnit, compute_units))
    return loaded_model(model, model.get_spec())
