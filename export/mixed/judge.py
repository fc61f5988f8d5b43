"""Measures a choice of modules: by how many dB it passes the limits on inputs of real drawings.

Every call is made in an order of sums of its own (rounded.py), because a runtime adds in another order than PyTorch.  A
call that float32 itself does not pass in another order says nothing about float16.  Those of calibration are left out;
of those that the gates will make, it asks for float32 everywhere, with which they most probably pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from export.mixed.rounded import HalfProgram, Outputs, Wide, everything

Sample = Mapping[str, Tensor]
Margin = Callable[[Sample, Outputs, Outputs], float]
"""Takes the inputs, the outputs in float32 and in float16; returns by how many dB the nearest limit is passed."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a stage."""

    sample: Sample
    wanted: Outputs
    """In float32, in PyTorch's own order."""
    order: int
    """Seed of the order of sums in which a choice is run."""
    gate: bool = False
    """Whether the gates of the export make this call."""


@dataclass
class Judge:
    """Measures choices of modules on a few calls."""

    half: HalfProgram
    margin: Margin
    calls: list[Call] = field(default_factory=list)
    known: dict[frozenset[str], Mapping[Call, float]] = field(default_factory=dict)
    """What was measured for whole sets of modules in float32."""

    def add(self, samples: Iterable[Sample], gate: bool = False, orders: int = 1) -> None:
        """Add a call of every sample in each of several orders."""
        for sample in samples:
            wanted, first = self.half.run(sample, everything), len(self.calls)
            self.calls += [Call(sample, wanted, order, gate) for order in range(first, first + orders)]

    def passed_by(self, call: Call, wide: Wide) -> float:
        """Return by how many dB a call passes the limits; -inf where an output is not finite."""
        found = self.margin(call.sample, call.wanted, self.half.run(call.sample, wide, order=call.order))
        return -math.inf if math.isnan(found) else found

    def passes(self, wide: Wide, least_db: float) -> bool:
        """Return whether all calls pass; the one that did not is the first to be made the next time."""
        for number, call in enumerate(self.calls):
            if not self.passed_by(call, wide) >= least_db:
                self.calls.insert(0, self.calls.pop(number))
                return False
        return True

    def margins(self, kept: frozenset[str]) -> Mapping[Call, float]:
        """Return the margin of every call with some modules in float32."""
        if kept not in self.known:
            self.known[kept] = {call: self.passed_by(call, kept.__contains__) for call in self.calls}
        return {call: self.known[kept][call] for call in self.calls}

    def worst(self, kept: frozenset[str]) -> float:
        """Return the smallest margin; -inf if no call is left."""
        return min(self.margins(kept).values(), default=-math.inf)

    def failed(self, kept: frozenset[str], least_db: float) -> list[Call]:
        """Return the calls that do not pass the limits by some dB, the worst first."""
        margins = self.margins(kept)
        return sorted((call for call in margins if not margins[call] >= least_db), key=lambda each: margins[each])

    def leave_out_unsteady(self, calls: Iterable[Call], least_db: float) -> list[Call]:
        """Make those of some calls no more that float32 does not pass in their order; returns them."""
        unsteady = [call for call in calls if not self.passed_by(call, everything) >= least_db]
        self.calls = [call for call in self.calls if call not in unsteady]
        return unsteady
