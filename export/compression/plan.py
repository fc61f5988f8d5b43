"""Compression plans: JSON files that say which recipe each weight of a package gets.

A plan belongs to one checkpoint, whose weights it lists by name and shape; it serves Core ML and Core AI.  It also
stores the measurements from which it was made, so that a reader sees why a layer has its number of bits.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.compression.recipes import Recipe, find_recipe, fitting
from export.compression.weight import Weight
from mobile_diffusion import staging
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_json

FORMAT, VERSION = "mobile-diffusion compression plan", 1
LARGEST = 2**24
"""Most bytes of a plan; a larger file is not a plan."""


STAGE = "denoise"
"""The stage for which plans are made; the other stages are small and run once per picture."""


@dataclass(frozen=True)
class LayerPlan:
    """One weight's recipe."""

    name: str
    shape: tuple[int, ...]
    recipe: str
    errors: Mapping[str, float] = field(default_factory=dict)
    """Maps a recipe to the relative energy of the stage's output error with only this weight compressed by it."""


@dataclass(frozen=True)
class CompressionPlan:
    """The recipes of all weights of one stage."""

    stage: str
    layers: tuple[LayerPlan, ...]
    budget: str = ""
    """The target of the search: "4.5 bits" or "40 dB"."""
    predicted_snr_db: float | None = None
    """SNR of the stage's output in dB, if the errors of layers add up."""
    measured_snr_db: float | None = None
    """SNR of the stage's output in dB with all layers compressed."""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """The conditions of the measurement."""

    def recipes(self, layers: Sequence[Weight], opset: int) -> dict[str, Recipe]:
        """Return the recipe of each weight, by name.

        Raises:
            ConfigError: the plan is for other weights, or the operation set or a shape does not support a recipe.
        """
        wanted = {parameter_of(layer.name): layer for layer in layers}
        got = {parameter_of(layer.name): layer for layer in self.layers}
        for key in (*wanted, *got):
            here, there = wanted.get(key), got.get(key)
            if here is None or there is None or here.shape != there.shape:
                name = (here or there or layers[0]).name
                differs = f"{name} {_shown(there)} where the program has {_shown(here)}"
                raise ConfigError(f"plan: expected the weights of this package, got {differs}; make a plan for it")
        found = {layer.name: find_recipe(got[parameter_of(layer.name)].recipe, opset) for layer in layers}
        for layer in layers:
            if not found[layer.name].takes(layer):
                got_recipe = f"{found[layer.name].name} for {layer.name} {layer.shape}"
                raise ConfigError(f"plan: expected recipes that fit the weights, got {got_recipe}; make the plan again")
        return found

    def save(self, path: Path) -> None:
        """Write the plan as JSON, atomically."""
        content = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}
        staging.write_bytes(json.dumps(content, indent=1, allow_nan=False).encode() + b"\n", path)


def parameter_of(name: str) -> str:
    """Return what the names of a weight have in common in Core ML packages and Core AI programs of one checkpoint.

    >>> parameter_of("p_unet_conv_in_weight_to_fp16") == parameter_of("unet.conv_in.weight")
    True
    """
    return name.removeprefix("p_").removesuffix("_to_fp16").replace(".", "_")


def uniform_plan(stage: str, layers: Sequence[Weight], recipe: Recipe) -> CompressionPlan:
    """Return a plan with one recipe for all weights, or its substitute for shapes that it does not support."""
    chosen = uniform_recipes(layers, recipe)
    return CompressionPlan(
        stage, tuple(LayerPlan(layer.name, layer.shape, chosen[layer.name].name) for layer in layers)
    )


def uniform_recipes(layers: Sequence[Weight], recipe: Recipe) -> dict[str, Recipe]:
    """Return one recipe, or its substitute, for each weight by name."""
    return {layer.name: fitting(recipe, layer) for layer in layers}


def bits_per_weight(layers: Sequence[Weight], recipes: Mapping[str, Recipe]) -> float:
    """Return the stored bits of all compressible weights, divided by the number of their elements."""
    return sum(recipes[layer.name].cost_bits(layer) for layer in layers) / sum(layer.count for layer in layers)


def load_plan(path: Path) -> CompressionPlan:
    """Read a plan from a file.

    Raises:
        ConfigError: the file does not exist, or is not a plan.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        content = parse_json(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        if (content.pop("format"), content.pop("version")) != (FORMAT, VERSION):
            raise ValueError("another format or version")
        layers = tuple(_layer(entry) for entry in content.pop("layers"))
        return _checked(CompressionPlan(layers=layers, **content))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}: expected a compression plan, got {reason}; make it with `coreml plan`") from None


def _layer(entry: dict[str, Any]) -> LayerPlan:
    errors = {str(name): float(error) for name, error in entry["errors"].items()}
    if any(not math.isfinite(error) or error < 0 for error in errors.values()):
        raise ValueError(f"errors of {quoted(entry['name'])}")
    return LayerPlan(str(entry["name"]), tuple(int(size) for size in entry["shape"]), str(entry["recipe"]), errors)


def _checked(plan: CompressionPlan) -> CompressionPlan:
    texts = (plan.stage, plan.budget)
    numbers = (plan.predicted_snr_db, plan.measured_snr_db)
    if not all(isinstance(text, str) for text in texts) or not isinstance(plan.conditions, dict):
        raise ValueError("a field of another type")
    if not all(number is None or isinstance(number, int | float) for number in numbers):
        raise ValueError("an SNR that is no number")
    if len({layer.name for layer in plan.layers}) != len(plan.layers):
        raise ValueError("one weight twice")
    return plan


def _refuse(constant: str) -> float:
    raise ValueError(f"the constant {constant}")


def _shown(weight: Weight | LayerPlan | None) -> str:
    return "no such weight" if weight is None else str(list(weight.shape))
