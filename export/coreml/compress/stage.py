"""Applies one choice of compression (export/compression/choice.py) to the packages of a bundle."""

from __future__ import annotations

from pathlib import Path

from export.compression.choice import is_plan, stage_plan
from export.compression.plan import CompressionPlan, load_plan, uniform_plan
from export.compression.recipes import NONE, find_recipe
from export.coreml.compress.layers import layers_of, opset_of
from export.coreml.compress.verify import Reconstruction
from export.coreml.compress.write import compress_package
from export.coreml.package_archive import CoreMLPackage
from mobile_diffusion.progress import Progress, silent


def compress_stage(
    package: Path, stage: str, compression: str, progress: Progress = silent
) -> tuple[Reconstruction, ...]:
    """Compress a stage's package in place; `compression` is the name of a recipe or the path of a plan.

    Returns the reconstruction of each compressed weight; none if the stage has no large weights.

    Raises:
        ConfigError: there is no such recipe for this deployment target, or the plan does not fit this package.
        ExportError: a weight is not finite, or a written weight does not decode with the expected error.
    """
    opened = CoreMLPackage.open(package)
    layers = layers_of(opened)
    plan = stage_plan(stage, layers, compression, opset_of(opened.spec))
    if not layers or all(layer.recipe == NONE for layer in plan.layers):
        return ()
    return compress_package(package, package, plan, progress, replace=True)


def named_plan(package: Path, compression: str) -> CompressionPlan:
    """Return the plan for a package of any stage, from the name of a recipe or the path of a plan."""
    if is_plan(compression):
        return load_plan(Path(compression))
    opened = CoreMLPackage.open(package)
    layers = layers_of(opened)
    return uniform_plan(package.stem, layers, find_recipe(compression, opset_of(opened.spec)))
