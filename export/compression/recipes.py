"""The recipes, which are ways to store a weight in fewer bits, in a plain dictionary.

`Recipe.cost_bits` counts the stored bits, including tables and scales.  If a recipe does not support the shape of a
weight (such as a number of channels that is not a multiple of the group), its `otherwise` is used; the plan names it.
"""

from __future__ import annotations

from dataclasses import dataclass

from export.compression.weight import Weight
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

HALF_BITS = 16
"""Bits of an uncompressed number, of an entry of a table, and of a scale."""
GROUP, BLOCK = 16, 32
"""Output channels that share a table; inputs that share a scale."""
PALETTE, LINEAR, NONE = "palette", "linear", "none"
SMALL_OPSET, LARGE_OPSET = 6, 8
"""Numbers of the operation sets of iOS 16 (one table or row of scales per weight) and iOS 18 (groups and blocks)."""


@dataclass(frozen=True)
class Recipe:
    """One way to store a weight."""

    name: str
    kind: str
    """PALETTE (indices into a table), LINEAR (integers and scales), or NONE."""
    bits: int
    """Bits per index or integer."""
    group: int = 0
    """Output channels that share a table; 0 for one table per weight."""
    vector: int = 1
    """Adjacent output channels that share one index."""
    block: int = 0
    """Input channels that share a scale; 0 for one scale per output channel."""
    opset: int = SMALL_OPSET
    """The first operation set that supports the recipe."""
    otherwise: str = NONE
    """The recipe for weights whose shape this one does not support."""

    def takes(self, layer: Weight) -> bool:
        """Return whether the recipe supports the weight's shape."""
        outputs, inputs = layer.shape[layer.output_axis], layer.shape[layer.input_axis]
        if self.vector > 1 and layer.grouped:
            return False
        return not (outputs % max(self.group, self.vector) or (self.block and inputs % self.block))

    def cost_bits(self, layer: Weight) -> int:
        """Return the bits of a whole weight, including tables and scales."""
        if self.kind == NONE:
            return HALF_BITS * layer.count
        outputs, inputs = layer.shape[layer.output_axis], layer.shape[layer.input_axis]
        stored = layer.count // self.vector * self.bits
        if self.kind == PALETTE:
            tables = outputs // self.group if self.group else 1
            return stored + tables * 2**self.bits * self.vector * HALF_BITS
        return stored + outputs * (inputs // self.block if self.block else 1) * HALF_BITS


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(NONE, NONE, HALF_BITS),
        Recipe("int8", LINEAR, 8),
        Recipe("palettize-8", PALETTE, 8),
        Recipe("palettize-6", PALETTE, 6),
        Recipe("palettize-4", PALETTE, 4),
        Recipe("palettize-3", PALETTE, 3, opset=LARGE_OPSET),
        Recipe("palettize-2", PALETTE, 2),
        Recipe("int8-block", LINEAR, 8, block=BLOCK, opset=LARGE_OPSET, otherwise="int8"),
        Recipe("int4-block", LINEAR, 4, block=BLOCK, opset=LARGE_OPSET, otherwise="palettize-4"),
        Recipe("palettize-4-grouped", PALETTE, 4, group=GROUP, opset=LARGE_OPSET, otherwise="palettize-4"),
        Recipe("palettize-3-grouped", PALETTE, 3, group=GROUP, opset=LARGE_OPSET, otherwise="palettize-3"),
        Recipe("palettize-2-grouped", PALETTE, 2, group=GROUP, opset=LARGE_OPSET, otherwise="palettize-2"),
        Recipe("palettize-4-pairs", PALETTE, 8, vector=2, opset=LARGE_OPSET, otherwise="palettize-4"),
        Recipe("palettize-3-pairs", PALETTE, 6, vector=2, opset=LARGE_OPSET, otherwise="palettize-3"),
        Recipe("palettize-2-pairs", PALETTE, 4, vector=2, opset=LARGE_OPSET, otherwise="palettize-2"),
    )
}
"""All recipes by name.  The number in a name is bits per weight; for pairs, half of the bits of the shared index."""


def find_recipe(name: str, opset: int = LARGE_OPSET) -> Recipe:
    """Return the named recipe; raises `ConfigError` with the choices if the operation set has no such recipe."""
    choices = ", ".join(each.name for each in RECIPES.values() if each.opset <= opset)
    if name not in RECIPES:
        raise ConfigError(f"compression: expected one of {choices}, or the path of a plan, got {quoted(name)}")
    recipe = RECIPES[name]
    if recipe.opset > opset:
        got = f"{name}, which needs --deployment-target iOS18"
        raise ConfigError(f"compression: expected a recipe of this deployment target ({choices}), got {got}")
    return recipe


def fitting(recipe: Recipe, layer: Weight) -> Recipe:
    """Return the recipe, or the first of its substitutes that supports the weight's shape."""
    while not recipe.takes(layer):
        recipe = RECIPES[recipe.otherwise]
    return recipe
