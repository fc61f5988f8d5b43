"""Chooses the modules that stay in float32, by measurement: the fewest weights with which a stage passes its limits.

First come the modules whose numbers reach half of float16's range on real drawings: another prompt may double them.
If the rest in float16 is still too far from PyTorch, because a sum or a softmax loses its digits, the search starts
from float32 everywhere and makes whole parts of the network float16, the largest first, as long as the limits are met.
What was chosen on a few calls is proved on others, and on all that the gates of the export will make (judge.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from export.mixed.judge import Judge, Margin, Sample
from export.mixed.names import Names, shortest
from export.mixed.rounded import HALF_MAX, HalfProgram, Outputs, Wide, everything, module_of, reach
from mobile_diffusion.progress import Progress, silent

Item = TypeVar("Item")

ROOM = 2.0
"""Factor between the largest number measured and float16's range from which a module may be float16."""
MARGIN_DB, SEARCH_DB = 3.0, 6.0
"""dB above every limit that a choice must reach, because prompts and runtimes differ: on every call, and while it is
searched on a few of them."""


@dataclass(frozen=True)
class Effort:
    """How much is measured for one stage."""

    trials: int = 150
    """Sets of modules that are tried; what was not tried after them stays in float32."""
    judged: int = 4
    """Calls on which a choice is made at first."""
    proved: int = 16
    """Calls on which it is then proved, at least, and as many of the gates' own; ranges are measured on all samples."""
    rounds: int = 3
    """Attempts, each with the calls that the last one failed; after them everything is float32."""


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
    """dB above the nearest limit with float16 everywhere, the worst of the calls; -inf for NaN."""
    after_db: float
    """The same with this choice."""


def choose(
    half: HalfProgram,
    samples: Sequence[Sample],
    margin: Margin,
    always: Wide,
    effort: Effort,
    gates: Sequence[Sample] = (),
    room_db: float = 0.0,
    progress: Progress = silent,
) -> Choice:
    """Return the modules of a stage that must stay in float32 for `margin` to be MARGIN_DB and `room_db` everywhere.

    `gates` are the inputs that the gates of the export will use, `samples` are others.  `always` are modules that stay
    in float32 in any case.
    """
    progress(f"{half.stage}: measuring the range of every module", 0.0)
    largest = {name: high for name, high in ranges(half, [*gates, *samples]).items() if high > bound(half)}
    asked = frozenset(module for module in half.modules if always(module))
    proof = Judge(half, margin)
    if gates:
        proof.add(gates, gate=True, orders=-(-effort.proved // len(gates)))
    proof.add(spread(samples, effort.proved))
    before = proof.worst(asked)
    kept = proved(proof, frozenset(asked | largest.keys()), effort, room_db, progress)
    weights, after = sum(half.modules[module] for module in kept), proof.worst(kept)
    return Choice(half.stage, shortest(kept, half.modules, half.stage), weights, largest, before, after)


def proved(
    proof: Judge, least: frozenset[str], effort: Effort, room_db: float, progress: Progress = silent
) -> frozenset[str]:
    """Return a small set of modules with `least` that passes every call of `proof`; all modules if none is found."""
    half, kept, parts = proof.half, least, [""]
    judge = Judge(half, proof.margin, spread(proof.calls, effort.judged))
    for attempt in range(effort.rounds + 1):
        failed = proof.failed(kept, MARGIN_DB + room_db)
        unsteady = proof.leave_out_unsteady(failed, MARGIN_DB + room_db)
        steady = [call for call in failed if call not in unsteady]
        if not proof.calls or any(call.gate for call in unsteady):
            break
        if not steady:
            return kept
        if attempt < effort.rounds:
            calls = dict.fromkeys([*steady[: effort.judged], *judge.calls])
            judge.calls = [call for call in calls if call in proof.calls]
            passes = partial(judge.passes, least_db=SEARCH_DB + room_db)
            kept, parts = smallest(half.modules, least, passes, effort.trials, parts, progress)
    return frozenset(half.modules)


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


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return some of the items, evenly spaced: different prompts at different steps."""
    places = np.unique(np.linspace(0, len(items) - 1, count).round().astype(int)) if items else ()
    return [items[place] for place in places]


def smallest(
    modules: Mapping[str, int],
    kept: AbstractSet[str],
    passes: Callable[[Wide], bool],
    most_trials: int,
    parts: Sequence[str] = ("",),
    progress: Progress = silent,
) -> tuple[frozenset[str], list[str]]:
    """Return a small set with `kept` that passes, and the parts of the network that are float16 then.

    `modules` are modules with their numbers of weights.  The `parts` become float16, the largest first; one that cannot
    as a whole is divided.  A later search on more calls begins with the parts of an earlier one.
    """
    wide, narrow, trials = set(modules), list[str](), 0

    def halve(path: str) -> None:
        nonlocal wide, trials
        members = part(path, wide) - kept
        if not members or trials >= most_trials:
            return
        trials += 1
        progress(f"trying float16 in {path or 'everything'}", trials / most_trials)
        if passes((wide - members).__contains__):
            wide -= members
            narrow.append(path)
            return
        for child in sorted(children(path, members), key=lambda each: -weights(each)):
            halve(child)

    def weights(path: str) -> int:
        return sum(modules[each] for each in part(path, modules))

    for path in sorted(parts, key=lambda each: -weights(each)):
        halve(path)
    return frozenset(wide), narrow


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
