"""The best recipes within a budget, if the errors of layers add up.

Per layer, only recipes on the lower convex hull of error over bits can be optimal.  All steps of all hulls, sorted by
the error that they save per bit, give the solutions of the Lagrangian in order (Shoham and Gersho 1988).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

Table = Mapping[str, Mapping[str, float]]
"""Layer -> recipe -> number."""


@dataclass(frozen=True)
class SearchStep:
    """A change of one layer to the next recipe on its hull."""

    layer: str
    recipe: str
    bits: float
    """Additional bits."""
    error: float
    """Error that is saved."""

    @property
    def worth(self) -> float:
        """Error saved per bit."""
        return self.error / self.bits


def hull(costs: Mapping[str, float], errors: Mapping[str, float]) -> list[str]:
    """Recipes on the lower convex hull of error over cost, cheapest first."""
    chosen: list[str] = []
    for name in sorted(costs, key=lambda each: (costs[each], errors[each])):
        if chosen and errors[name] >= errors[chosen[-1]]:
            continue
        while len(chosen) > 1 and not _bends(chosen[-2], chosen[-1], name, costs, errors):
            chosen.pop()
        chosen.append(name)
    return chosen


def _bends(first: str, middle: str, last: str, costs: Mapping[str, float], errors: Mapping[str, float]) -> bool:
    """Whether the middle recipe is below the line through the others."""
    before = (errors[first] - errors[middle]) * (costs[last] - costs[middle])
    return before > (errors[middle] - errors[last]) * (costs[middle] - costs[first])


def steps(costs: Table, errors: Table) -> tuple[dict[str, str], list[SearchStep]]:
    """The cheapest recipe of each layer, and all steps from there, those that save most per bit first."""
    hulls = {layer: hull(costs[layer], errors[layer]) for layer in costs}
    found = [
        SearchStep(
            layer, after, costs[layer][after] - costs[layer][before], errors[layer][before] - errors[layer][after]
        )
        for layer, names in hulls.items()
        for before, after in pairwise(names)
    ]
    return {layer: names[0] for layer, names in hulls.items()}, sorted(found, key=lambda step: -step.worth)


def within_bits(costs: Table, errors: Table, bits: float) -> dict[str, str]:
    """Recipes with the least error whose costs add up to at most `bits`, or the cheapest ones if none do."""
    chosen, ordered = steps(costs, errors)
    spent = sum(costs[layer][recipe] for layer, recipe in chosen.items())
    full: set[str] = set()
    for step in ordered:
        if step.layer not in full and spent + step.bits <= bits:
            chosen[step.layer] = step.recipe
            spent += step.bits
        else:
            full.add(step.layer)
    return chosen


def within_error(costs: Table, errors: Table, limit: float) -> dict[str, str]:
    """The cheapest recipes whose errors add up to at most `limit`, or those with the least error if none do."""
    chosen, ordered = steps(costs, errors)
    walk = _walked(ordered, sum(errors[layer][recipe] for layer, recipe in chosen.items()))
    for step, before in walk:
        if before <= limit:
            break
        chosen[step.layer] = step.recipe
    return chosen


def _walked(ordered: list[SearchStep], error: float) -> Iterator[tuple[SearchStep, float]]:
    """Each step with the total error in front of it."""
    for step in ordered:
        yield step, error
        error -= step.error
