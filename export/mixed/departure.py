"""Finds the module and the operation where float16 leaves the reference.

Where an output is not finite, it is the first operation whose infinity or NaN reaches it.  Where digits are lost, every
operation loses some and the loss shows only later, in a softmax or in the next norm.  So the modules in which most is
lost are tried one at a time: float16 in this module alone, float32 everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx import Node

from export.mixed.rounded import (
    HALF_MAX,
    HalfProgram,
    Outputs,
    Run,
    Wide,
    everything,
    is_float,
    module_of,
    operation_of,
    reach,
)
from mobile_diffusion.decibels import ratio_db
from mobile_diffusion.decibels import worst as worst_of

ROUNDED_DB = 70.0
"""About what one rounding to float16 leaves of a tensor."""
TRIED = 8
"""Modules that are tried alone."""
NEAR_DB = 6.0
"""Modules that lose almost as much as the worst are named beside it."""
MOVES = frozenset(
    {
        "alias",
        "cat",
        "clone",
        "expand",
        "getitem",
        "index_select",
        "permute",
        "reshape",
        "select",
        "slice",
        "split",
        "squeeze",
        "transpose",
        "unsafe_view",
        "unsqueeze",
        "view",
    }
)
"""Operations that only move numbers: the fault is where the numbers were computed."""


@dataclass(frozen=True)
class Departure:
    """Where float16 leaves the reference."""

    module: str
    """Path of the PyTorch module, or the stage for its outermost module."""
    operation: str
    largest: float
    """Largest magnitude that the operation reads or computes, in float32."""
    alone_db: float
    """The output if only this module is float16, compared with float32; NaN or -inf where it is not finite."""
    others: tuple[str, ...] = ()
    """Modules that alone lose almost as much, each with its operation, the worst first."""

    def __str__(self) -> str:
        place, value = f"float16 leaves PyTorch at {self.module} ({self.operation})", f"{self.largest:.4g}"
        if self.largest > HALF_MAX:
            return f"{place}: largest value {value}, expected at most {HALF_MAX:g}"
        alone = f"{self.alone_db:.1f} dB" if math.isfinite(self.alone_db) else "NaN or infinity"
        near = f"; almost as far at {counted(self.others)}" if self.others else ""
        return f"{place}: {alone} with float16 there alone, largest value {value} of {HALF_MAX:g}{near}"


def counted(places: Sequence[str]) -> str:
    """Return the first place and the number of the others."""
    return places[0] + (f" and {len(places) - 1} more" if len(places) > 1 else "")


@dataclass(frozen=True)
class Step:
    """One operation in both precisions."""

    node: Node
    result_db: float
    """The result in float16 compared with float32."""
    lost_db: float
    """By how much it is further off than what it was computed from, or than one rounding."""
    largest: float


def find_departure(half: HalfProgram, inputs: Mapping[str, Tensor], wide: Wide) -> Departure | None:
    """Return where a program with float16 outside of `wide` modules goes wrong; None if it rounds nothing."""
    exact, stored = Run(half, inputs, everything), Run(half, inputs, wide)
    steps = list(compared(half, exact, stored))
    infinite = first_infinite(half, steps)
    if infinite is not None:
        return Departure(
            module_of(infinite.node) or half.stage, operation_of(infinite.node), infinite.largest, math.nan
        )
    worst = most_lost(half, steps, wide)
    alone = {module: apart(exact.outputs, half.run(inputs, all_but(module))) for module in worst}
    if not alone:
        return None
    module, *rest = sorted(alone, key=lambda each: alone[each])
    operations = {each: operation_of(worst[each].node) for each in alone}
    near = [f"{each or half.stage} ({operations[each]})" for each in rest if alone[each] <= alone[module] + NEAR_DB]
    return Departure(module or half.stage, operations[module], worst[module].largest, alone[module], tuple(near))


def most_lost(half: HalfProgram, steps: Iterable[Step], wide: Wide) -> dict[str, Step]:
    """Return the TRIED float16 modules in which most is lost, each with the operation that loses most."""
    worst: dict[str, Step] = {}
    for step in steps:
        module = module_of(step.node)
        if step.node not in half.exact and not wide(module) and operation_of(step.node) not in MOVES:
            worst[module] = max(worst.get(module, step), step, key=lambda each: each.lost_db)
    return dict(sorted(worst.items(), key=lambda item: -item[1].lost_db)[:TRIED])


def all_but(module: str) -> Wide:
    """Return what makes every module float32 except one."""
    return lambda each: each != module


def compared(half: HalfProgram, exact: Run, stored: Run) -> Iterator[Step]:
    """Run both, an operation at a time."""
    ratios: dict[Node, float] = {}
    for node in half.operations:
        operands, wanted = exact.step(node)
        _, got = stored.step(node)
        ratios[node] = signal_to_noise(wanted, got)
        source = min((ratios.get(each, math.inf) for each in node.all_input_nodes), default=math.inf)
        yield Step(node, ratios[node], min(source, ROUNDED_DB) - ratios[node], reach(half, node, operands, wanted))


def first_infinite(half: HalfProgram, steps: list[Step]) -> Step | None:
    """Return the first operation whose infinity or NaN is read on to an output; None if the outputs are finite."""
    last, found = set(half.program.graph.output_node().all_input_nodes), set[Node]()
    for step in reversed(steps):
        if not step.result_db > -math.inf and (step.node in last or found & step.node.users.keys()):
            found.add(step.node)
    first = [step for step in steps if step.node in found]
    return next((step for step in first if operation_of(step.node) not in MOVES), first[0] if first else None)


def apart(wanted: Outputs, got: Outputs) -> float:
    """Return the worst ratio over several outputs."""
    return worst_of(signal_to_noise(*pair) for pair in zip(wanted, got, strict=True))


def signal_to_noise(wanted: Any, got: Any) -> float:
    """Return 10 log10(sum r^2 / sum (r - c)^2) in float64, of several results that of the first; inf for integers."""
    if isinstance(wanted, tuple | list):
        return signal_to_noise(wanted[0], got[0])
    if not is_float(wanted):
        return math.inf
    reference = wanted.double()
    return ratio_db(float(reference.square().sum()), float((reference - got).square().sum()))
