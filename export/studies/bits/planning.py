"""A compression plan for a stage: measures sensitivities, searches recipes within a budget, measures the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from export.compression.plan import STAGE, CompressionPlan, LayerPlan, bits_per_weight
from export.compression.recipes import HALF_BITS, NONE, RECIPES, Recipe
from export.coreml.compress.layers import WeightLayer, layers_of, opset_of, require_layers
from export.coreml.package_archive import CoreMLPackage
from export.denoise import Denoise
from export.studies.bits.search import Table, within_bits, within_error
from export.studies.bits.sensitivity import Bench, States
from mobile_diffusion.decibels import share_db, share_of
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.progress import Progress, part_of, silent

CANDIDATES = ("palettize-2", "palettize-3", "palettize-4", "palettize-6", "palettize-8", NONE)
"""Recipes of a search, as far as the operation set has them."""
ATTEMPTS = 6
"""Most searches for a quality; each asks for more, by what the last one missed."""
_MEASURED = 0.9


@dataclass(frozen=True)
class Budget:
    """What a plan may cost, or what it must reach: one of the two."""

    bits: float | None = None
    """Stored bits per compressible weight, tables included."""
    snr_db: float | None = None
    """Least SNR in dB of the network's predictions with all weights compressed."""

    def __post_init__(self) -> None:
        if (self.bits is None) == (self.snr_db is None):
            raise ConfigError("plan: expected --bits or --snr, got both or neither")
        if self.bits is not None and not 0 < self.bits <= HALF_BITS:
            raise ConfigError(f"bits: expected a number above 0 and up to {HALF_BITS}, got {self.bits}")
        if self.snr_db is not None and not 0 < self.snr_db <= 100:
            raise ConfigError(f"snr: expected decibels above 0 and up to 100, got {self.snr_db}")

    def __str__(self) -> str:
        return f"{self.bits:g} bits" if self.bits is not None else f"{self.snr_db:g} dB"


def make_plan(
    module: Denoise,
    package: CoreMLPackage,
    states: States,
    budget: Budget,
    conditions: Mapping[str, Any],
    progress: Progress = silent,
) -> CompressionPlan:
    """Measure a package's weights on recorded states and choose their recipes.

    Raises:
        ConfigError: no recipes are within the budget.
        ExportError: the package has no weights to compress, or others than the module.
    """
    layers, opset = layers_of(package), opset_of(package.spec)
    require_layers(package, layers)
    bench = Bench(module, package, layers, states)
    candidates = [RECIPES[name] for name in CANDIDATES if RECIPES[name].opset <= opset]
    errors = bench.errors(candidates, part_of(progress, 0.0, _MEASURED))
    progress("searching", _MEASURED)
    return planned(bench, layers, errors, budget, conditions)


def planned(
    bench: Bench, layers: Sequence[WeightLayer], errors: Table, budget: Budget, conditions: Mapping[str, Any]
) -> CompressionPlan:
    """The plan within a budget, from measured errors."""
    costs = {
        layer.name: {name: float(RECIPES[name].cost_bits(layer)) for name in errors[layer.name]} for layer in layers
    }
    if budget.bits is not None:
        chosen = within_bits(costs, errors, budget.bits * sum(layer.count for layer in layers))
        measured = bench.together(named(chosen))
        found = bits_per_weight(layers, named(chosen))
        if found > budget.bits:
            raise ConfigError(f"plan: expected recipes of {budget}, got {found:.2f} at the least; give more bits")
    else:
        chosen, measured = good_enough(bench, costs, errors, float(budget.snr_db or 0.0))
    predicted = share_db(sum(errors[layer][recipe] for layer, recipe in chosen.items()))
    entries = tuple(LayerPlan(layer.name, layer.shape, chosen[layer.name], errors[layer.name]) for layer in layers)
    more = {**conditions, "bits_per_weight": round(bits_per_weight(layers, named(chosen)), 4), "opset": bench.opset}
    return CompressionPlan(STAGE, entries, str(budget), finite(predicted), finite(measured), more)


def good_enough(bench: Bench, costs: Table, errors: Table, wanted: float) -> tuple[dict[str, str], float]:
    """The cheapest recipes whose measured SNR reaches `wanted`, and that SNR; errors add up only approximately."""
    asked, measured = wanted, 0.0
    for _ in range(ATTEMPTS):
        chosen = within_error(costs, errors, share_of(asked))
        measured = bench.together(named(chosen))
        if measured >= wanted:
            return chosen, measured
        asked += wanted - measured + 0.05
    raise ConfigError(f"plan: expected recipes of {wanted:g} dB, got {measured:.1f} at the most; ask for less")


def named(chosen: Mapping[str, str]) -> dict[str, Recipe]:
    """Recipes by their names."""
    return {layer: RECIPES[recipe] for layer, recipe in chosen.items()}


def finite(decibels: float) -> float | None:
    """For JSON: None for infinity, where nothing is compressed."""
    return round(decibels, 3) if abs(decibels) != float("inf") else None
