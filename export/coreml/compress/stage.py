"""What one choice of compression means for each stage of a bundle.

The recipe or plan that is asked for is for `denoise`, which has most of the weights and averages errors over many
layers and steps.  The other stages are run once, have a tenth of the weights, and what they lose is seen in every
picture (the decoder) or shifts the prompt (the text encoder): they keep 8 bits.
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
"""Kind of the recipe of `denoise` -> recipe of the other stages."""
OTHERWISE = "palettize-8"
"""That of the other stages for every other kind, and beside a plan."""


def compress_stage(
    package: Path, stage: str, compression: str, progress: Progress = silent
) -> tuple[Reconstruction, ...]:
    """Compress a stage's package where it is: `compression` is a recipe's name, or the path of a plan.

    Returns what its weights became; nothing where the stage has none that are large.

    Raises:
        ConfigError: there is no such recipe, for this deployment target, or no such plan for this package.
        ExportError: a weight is not finite, or what was written does not decode to what was promised.
    """
    opened = CoreMLPackage.open(package)
    layers = layers_of(opened)
    plan = stage_plan(opened, stage, compression)
    if not layers or all(layer.recipe == NONE for layer in plan.layers):
        return ()
    return compress_package(package, package, plan, progress, replace=True)


def stage_plan(package: CoreMLPackage, stage: str, compression: str) -> CompressionPlan:
    """The plan of one stage for a recipe's name or a plan's path."""
    layers, opset = layers_of(package), opset_of(package.spec)
    if is_plan(compression):
        plan = load_plan(Path(compression))
        return plan if plan.stage == stage else uniform_plan(stage, layers, RECIPES[OTHERWISE])
    recipe = find_recipe(compression, opset)
    if stage != STAGE and recipe.kind != NONE:
        recipe = RECIPES[OTHER_STAGES.get(recipe.kind, OTHERWISE)]
    return uniform_plan(stage, layers, recipe)


def named_plan(package: Path, compression: str) -> CompressionPlan:
    """The plan of a package, whatever its stage, that a recipe's name or a plan's path names."""
    if is_plan(compression):
        return load_plan(Path(compression))
    opened = CoreMLPackage.open(package)
    layers = layers_of(opened)
    return uniform_plan(package.stem, layers, find_recipe(compression, opset_of(opened.spec)))


def is_plan(compression: str) -> bool:
    """Whether a choice of compression is a plan's path."""
    return compression not in RECIPES and Path(compression).exists()
