"""Compresses weights: palettization, linear quantization, a recipe per layer, and a check of the written file."""

from export.coreml.compress.layers import WeightLayer, layers_of
from export.coreml.compress.plan import CompressionPlan, load_plan, uniform_plan
from export.coreml.compress.recipes import RECIPES, Recipe, find_recipe
from export.coreml.compress.verify import Reconstruction
from export.coreml.compress.write import compress_package

__all__ = [
    "RECIPES",
    "CompressionPlan",
    "Recipe",
    "Reconstruction",
    "WeightLayer",
    "compress_package",
    "find_recipe",
    "layers_of",
    "load_plan",
    "uniform_plan",
]
