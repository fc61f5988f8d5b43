"""The search against trying every combination."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from export.studies.bits.search import hull, steps, within_bits, within_error

GENERATOR = np.random.default_rng(3)
RECIPES = ("2", "4", "6", "8")
BITS = {"2": 2.0, "4": 4.0, "6": 6.0, "8": 8.0}


def tables(layers: int) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Costs and errors of random layers; errors fall by about 6 dB a bit, not evenly."""
    costs, errors = {}, {}
    for number in range(layers):
        size, gain = GENERATOR.integers(10, 100), 10 ** GENERATOR.uniform(-3, 0)
        costs[f"layer {number}"] = {name: size * bits for name, bits in BITS.items()}
        noise = {name: gain * 4 ** -(bits + GENERATOR.uniform(-1, 1)) for name, bits in BITS.items()}
        errors[f"layer {number}"] = noise
    return costs, errors


def total(table: dict[str, dict[str, float]], chosen: tuple[str, ...] | dict[str, str]) -> float:
    named = chosen if isinstance(chosen, dict) else dict(zip(table, chosen, strict=True))
    return sum(table[layer][recipe] for layer, recipe in named.items())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_no_combination_is_better_at_the_cost_that_was_found(share: float) -> None:
    for _ in range(5):
        costs, errors = tables(5)
        limit = total(costs, ("2",) * 5) * (1 - share) + total(costs, ("8",) * 5) * share
        chosen = within_bits(costs, errors, limit)
        assert total(costs, chosen) <= limit
        everything = list(product(RECIPES, repeat=5))
        best = min(total(errors, each) for each in everything if total(costs, each) <= limit)
        spare = max(costs[layer]["4"] for layer in costs)  # a step that did not fit
        cheaper = [total(errors, each) for each in everything if total(costs, each) <= limit - spare]
        assert best <= total(errors, chosen) <= min(cheaper, default=np.inf)


@pytest.mark.parametrize("decibels", [5, 15, 25])
def test_a_quality_is_reached_at_the_least_cost_of_any_combination_as_good(decibels: float) -> None:
    for _ in range(5):
        costs, errors = tables(5)
        chosen = within_error(costs, errors, 10 ** (-decibels / 10))
        error = total(errors, chosen)
        as_good = [each for each in product(RECIPES, repeat=5) if total(errors, each) <= error]
        assert error <= 10 ** (-decibels / 10) or set(chosen.values()) <= {"8", "6"}
        assert total(costs, chosen) == min(total(costs, each) for each in as_good)


def test_a_hull_leaves_out_what_no_price_would_choose() -> None:
    costs = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    assert hull(costs, {"a": 8.0, "b": 7.5, "c": 1.0, "d": 1.0}) == ["a", "c"]
    assert hull(costs, {"a": 8.0, "b": 4.0, "c": 2.0, "d": 1.0}) == ["a", "b", "c", "d"]
    assert hull({"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 1.0}) == ["b"]


def test_steps_come_in_the_order_of_their_worth() -> None:
    costs, errors = tables(6)
    chosen, ordered = steps(costs, errors)
    assert set(chosen.values()) == {"2"}
    worth = [step.worth for step in ordered]
    assert worth == sorted(worth, reverse=True) and min(worth) > 0
    for layer in costs:
        own = [BITS[step.recipe] for step in ordered if step.layer == layer]
        assert own == sorted(own)
