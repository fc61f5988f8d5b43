"""Compression of weights, for every format: recipes, exact clustering, integers with scales, and plans per weight."""

from export.compression.choice import name_of, stage_plan
from export.compression.plan import CompressionPlan, load_plan, uniform_plan
from export.compression.recipes import RECIPES, Recipe, find_recipe
from export.compression.weight import Weight

__all__ = [
    "RECIPES",
    "CompressionPlan",
    "Recipe",
    "Weight",
    "find_recipe",
    "load_plan",
    "name_of",
    "stage_plan",
    "uniform_plan",
]
