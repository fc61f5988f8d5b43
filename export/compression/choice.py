"""What one choice of compression means for each stage of a bundle.

The chosen recipe or plan is for `denoise`, which has most of the weights and averages errors over many layers and
steps.  The other stages keep 8 bits: they run once per picture and have a tenth of the weights, and their errors are
visible in every picture (the decoder) or change the meaning of the prompt (the text encoder).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from export.compression.plan import STAGE, CompressionPlan, load_plan, uniform_plan
from export.compression.recipes import LARGE_OPSET, LINEAR, NONE, RECIPES, find_recipe
from export.compression.weight import Weight
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

OTHER_STAGES = {LINEAR: "int8"}
"""Maps the kind of the recipe of `denoise` to the recipe of the other stages."""
OTHERWISE = "palettize-8"
"""The recipe of the other stages for all other kinds, and for plans."""


def stage_plan(stage: str, layers: Sequence[Weight], compression: str, opset: int = LARGE_OPSET) -> CompressionPlan:
    """Return the plan of one stage for the name of a recipe or the path of a plan.

    Raises:
        ConfigError: there is no such recipe or plan, or the operation set of Core ML does not support it.
    """
    if is_plan(compression):
        plan = load_plan(Path(compression))
        return plan if plan.stage == stage else uniform_plan(stage, layers, RECIPES[OTHERWISE])
    recipe = find_recipe(compression, opset)
    if stage != STAGE and recipe.kind != NONE:
        recipe = RECIPES[OTHER_STAGES.get(recipe.kind, OTHERWISE)]
    return uniform_plan(stage, layers, recipe)


def is_plan(compression: str) -> bool:
    """Return whether a choice of compression is the path of a plan."""
    return compression not in RECIPES and Path(compression).exists()


def name_of(compression: str) -> str:
    """Return the name of the recipe, or a name such as "mixed-4.5" for a plan with 4.5 bits per weight.

    Raises:
        ConfigError: `compression` is neither a recipe nor a plan.
    """
    if compression in RECIPES:
        return compression
    if not Path(compression).exists():
        choices = f"{', '.join(RECIPES)}, or the path of a plan"
        raise ConfigError(f"compression: expected one of {choices}, got {quoted(compression)}")
    return f"mixed-{load_plan(Path(compression)).conditions['bits_per_weight']:.1f}"
