"""The ways to store a weight in fewer bits: a plain dictionary.

A recipe says what is stored; `bits_per_weight` what that costs, tables and scales included.  Where a weight's shape
does not take a recipe (channels that are no multiple of the group), its `otherwise` is used, and the plan says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from export.coreml.compress.layers import WeightLayer
from mobile_diffusion.errors import ConfigError

HALF_BITS = 16
"""Bits of an uncompressed weight, of an entry of a table, and of a scale."""
GROUP, BLOCK = 16, 32
"""Output channels that share a table; inputs that share a scale."""
PALETTE, LINEAR, NONE = "palette", "linear", "none"
SMALL_OPSET, LARGE_OPSET = 6, 8
"""Numbers of the operation sets of iOS 16, with one table or scale row a weight, and iOS 18, with groups and blocks."""


@dataclass(frozen=True)
class Recipe:
    """One way to store a weight."""

    name: str
    kind: str
    """PALETTE (indices into a table), LINEAR (integers and scales), or NONE."""
    bits: int
    """Of an index or integer."""
    group: int = 0
    """Output channels that share a table; 0 for one table a weight."""
    vector: int = 1
    """Neighbouring output channels that one index stands for."""
    block: int = 0
    """Input channels that share a scale; 0 for all of an output channel."""
    opset: int = SMALL_OPSET
    """The smallest operation set that has it."""
    otherwise: str = NONE
    """The recipe of weights whose shape does not take this one."""

    def takes(self, layer: WeightLayer) -> bool:
        """Whether a weight's shape is one that it can store."""
        outputs, inputs = layer.shape[layer.output_axis], layer.shape[layer.input_axis]
        if self.vector > 1 and layer.grouped:
            return False
        return not (outputs % max(self.group, self.vector) or (self.block and inputs % self.block))

    def cost_bits(self, layer: WeightLayer) -> int:
        """Bits of a whole weight, tables and scales included."""
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
"""Every recipe; the number in a name is bits a weight, of the pairs half of the index that two weights share."""


def find_recipe(name: str, opset: int = LARGE_OPSET) -> Recipe:
    """The named recipe; raises `ConfigError` with the choices of the operation set where it is none of them."""
    choices = ", ".join(each.name for each in RECIPES.values() if each.opset <= opset)
    if name not in RECIPES:
        raise ConfigError(f"compression: expected one of {choices}, or the path of a plan, got {name!r}")
    recipe = RECIPES[name]
    if recipe.opset > opset:
        got = f"{name}, which needs --deployment-target iOS18"
        raise ConfigError(f"compression: expected a recipe of this deployment target ({choices}), got {got}")
    return recipe


def fitting(recipe: Recipe, layer: WeightLayer) -> Recipe:
    """The recipe, or the first of its substitutes that a weight's shape takes."""
    while not recipe.takes(layer):
        recipe = RECIPES[recipe.otherwise]
    return recipe
