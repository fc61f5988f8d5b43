"""Applies one choice of compression to the stages of a bundle.

The chosen recipe or plan is for `denoise`, which has most of the weights and averages errors over many layers and
steps.  The other stages keep 8 bits: they run once per picture and have a tenth of the weights, and their errors are
visible in every picture (the decoder) or change the meaning of the prompt (the text encoder).
"""

from __future__ import annotations

from pathlib import Path

from export.coreml.compress.layers import layers_of, opset_of
from export.coreml.compress.plan import STAGE, CompressionPlan, load_plan, uniform_plan
from export.coreml.compress.recipes import LINEAR, NONE, RECIPES, find_recipe
from export.coreml.compress.verify import Reconstruction
from export.coreml.compress.write import compress_package
from export.coreml.package_archive import CoreMLPackage
from mobile_diffusion.progress import Progress, silent

OTHER_STAGES = {LINEAR: "int8"}
"""Maps the kind of the recipe of `denoise` to the recipe of the other stages."""
OTHERWISE = "palettize-8"
"""The recipe of the other stages for all other kinds, and for plans."""


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
    plan = stage_plan(opened, stage, compression)
    if not layers or all(layer.recipe == NONE for layer in plan.layers):
        return ()
    return compress_package(package, package, plan, progress, replace=True)


def stage_plan(package: CoreMLPackage, stage: str, compression: str) -> CompressionPlan:
    """Return the plan of one stage for the name of a recipe or the path of a plan."""
    layers, opset = layers_of(package), opset_of(package.spec)
    if is_plan(compression):
        plan = load_plan(Path(compression))
        return plan if plan.stage == stage else uniform_plan(stage, layers, RECIPES[OTHERWISE])
    recipe = find_recipe(compression, opset)
    if stage != STAGE and recipe.kind != NONE:
        recipe = RECIPES[OTHER_STAGES.get(recipe.kind, OTHERWISE)]
    return uniform_plan(stage, layers, recipe)


def named_plan(package: Path, compression: str) -> CompressionPlan:
    """Return the plan for a package of any stage, from the name of a recipe or the path of a plan."""
    if is_plan(compression):
        return load_plan(Path(compression))
    opened = CoreMLPackage.open(package)
    layers = layers_of(opened)
    return uniform_plan(package.stem, layers, find_recipe(compression, opset_of(opened.spec)))


def is_plan(compression: str) -> bool:
    """Return whether a choice of compression is the path of a plan."""
    return compression not in RECIPES and Path(compression).exists()
