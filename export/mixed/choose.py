"""Chooses the modules that stay in float32, by measurement: the fewest weights with which a stage passes its limits.

First come the modules whose numbers reach half of float16's range on real drawings: another prompt may double them.
If the rest in float16 is still too far from PyTorch, because a sum or a softmax loses its digits, the search starts
from float32 everywhere and makes whole parts of the network float16, the largest first, as long as the limits are met.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from export.mixed.names import Names, shortest
from export.mixed.rounded import HALF_MAX, HalfProgram, Outputs, Wide, everything, module_of, reach
from mobile_diffusion.progress import Progress, silent

ROOM = 2.0
"""Factor between the largest number measured and float16's range from which a module may be float16."""
MARGIN_DB, SEARCH_DB = 3.0, 6.0
"""dB above every limit that a choice must reach, because prompts and runtimes differ: on every sample, and while it is
searched on a few of them."""
JUDGED, PROVED = 4, 16
"""Samples on which a choice is made, and on which it is then proved; ranges are measured on all."""
ROUNDS = 3
"""Attempts at a choice, each with one more sample, on which the last one failed; after them everything is float32."""

Sample = Mapping[str, Tensor]
Margin = Callable[[Sample, Outputs, Outputs], float]
"""Takes the inputs, the outputs in float32 and in float16; returns by how many dB the nearest limit is passed."""


@dataclass(frozen=True)
class Choice:
    """The modules of one stage that stay in float32."""

    stage: str
    names: Names
    """As names.py spells them; none where float16 holds everything."""
    weights: int
    """Number of weights in them."""
    largest: Mapping[str, float]
    """Modules beyond half of float16's range, with the largest number of each."""
    before_db: float
    """dB above the nearest limit with float16 everywhere, the worst of the judged samples; -inf for NaN."""
    after_db: float
    """The same with this choice."""


def choose(
    half: HalfProgram,
    samples: Sequence[Sample],
    margin: Margin,
    always: Wide,
    most_trials: int,
    progress: Progress = silent,
) -> Choice:
    """Return the modules of a stage that must stay in float32 for `margin` to be MARGIN_DB on the samples.

    `always` are modules that stay in float32 in any case.  After `most_trials` sets were tried, what was not tried yet
    stays in float32.
    """
    progress(f"{half.stage}: measuring the range of every module", 0.0)
    largest = {name: high for name, high in ranges(half, samples).items() if high > bound(half)}
    asked = frozenset(module for module in half.modules if always(module))
    judged, proof = spread(samples, JUDGED), Judge(half, spread(samples, PROVED), margin)
    kept = asked | largest.keys()
    for _ in range(ROUNDS):
        failed = proof.failed(kept.__contains__)
        if failed is None:
            break
        judged.append(failed)
        judge = Judge(half, judged, margin)
        kept = smallest(half.modules, asked | largest.keys(), judge.passes, most_trials, progress)
    else:
        kept = frozenset(half.modules) if proof.failed(kept.__contains__) else kept
    weights = sum(half.modules[module] for module in kept)
    before, after = (proof.worst(frozenset(each).__contains__) for each in (asked, kept))
    return Choice(half.stage, shortest(kept, half.modules, half.stage), weights, largest, before, after)


def bound(half: HalfProgram) -> float:
    """Return the magnitude above which a module stays in float32; weights are the same for every prompt."""
    return HALF_MAX if half.weights_only else HALF_MAX / ROOM


def ranges(half: HalfProgram, samples: Iterable[Sample]) -> dict[str, float]:
    """Return the largest magnitude among the numbers of every module, over all samples, in float32."""
    found: dict[str, float] = {}

    def watch(node: torch.fx.Node, operands: Outputs, result: object) -> None:
        if node not in half.exact:
            high = reach(half, node, operands, result)
            found[module_of(node)] = max(found.get(module_of(node), 0.0), high)

    for sample in samples:
        half.run(sample, everything, watch)
    return found


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return some of the samples, evenly spaced: different prompts at different steps."""
    places = np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int))
    return [samples[place] for place in places]


class Judge:
    """Measures sets of modules on a few samples, whose float32 outputs are computed once."""

    def __init__(self, half: HalfProgram, samples: Sequence[Sample], margin: Margin) -> None:
        self.half, self.margin = half, margin
        self.references = [(sample, half.run(sample, everything)) for sample in samples]

    def worst(self, wide: Wide) -> float:
        """Return the smallest margin over the samples in dB; -inf where an output is not finite."""
        found = [self.margin(sample, wanted, self.half.run(sample, wide)) for sample, wanted in self.references]
        return -math.inf if any(map(math.isnan, found)) else min(found)

    def failed(self, wide: Wide, least_db: float = MARGIN_DB) -> Sample | None:
        """Return the first sample on which the limits are not met by some dB; None if there is none."""
        for sample, wanted in self.references:
            if not self.margin(sample, wanted, self.half.run(sample, wide)) >= least_db:
                return sample
        return None

    def passes(self, wide: Wide) -> bool:
        """Return whether the limits are met on every sample with room for others."""
        return self.failed(wide, SEARCH_DB) is None


def smallest(
    modules: Mapping[str, int],
    kept: AbstractSet[str],
    passes: Callable[[Wide], bool],
    most_trials: int,
    progress: Progress = silent,
) -> frozenset[str]:
    """Return a small set with `kept` that passes: parts of the network become float16, the largest parts first.

    `modules` are modules with their numbers of weights.  A part that cannot become float16 as a whole is divided.
    """
    wide, trials = set(modules), 0

    def halve(path: str) -> None:
        nonlocal wide, trials
        members = part(path, wide) - kept
        if not members or trials >= most_trials:
            return
        trials += 1
        progress(f"trying float16 in {path or 'everything'}", trials / most_trials)
        if passes((wide - members).__contains__):
            wide -= members
            return
        for child in sorted(children(path, members), key=lambda each: -weights(each)):
            halve(child)

    def weights(path: str) -> int:
        return sum(modules[each] for each in part(path, modules))

    halve("")
    return frozenset(wide)


def part(path: str, modules: Iterable[str]) -> set[str]:
    """Return the modules of one part: a path with everything inside, or "path:" for its own operations alone."""
    if path.endswith(":"):
        return {each for each in modules if each == path[:-1]}
    return {each for each in modules if not path or each == path or each.startswith(f"{path}.")}


def children(path: str, members: Iterable[str]) -> list[str]:
    """Return the parts of a path: its own operations, and every module directly inside it."""
    if path.endswith(":"):
        return []
    prefix = f"{path}." if path else ""
    inside = {prefix + each.removeprefix(prefix).split(".")[0] for each in members if each != path}
    own = [f"{path}:"] if path in members else []
    return own if not inside else [*own, *sorted(inside)]
