"""Chooses where to cut a program: as few consecutive parts below a limit as possible, cut where few bytes cross.

A part is a half-open range of steps.  A joint is the number of the first step after it.  A part counts each record that
it reads once, so a weight that two parts read counts in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from export.coreml.repack import file_bytes
from export.coreml.steps import Place, ProgramStep, Steps, crossing_bytes
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

NEAR = 0.15
"""How far the size of a part may be from balanced, as a fraction of that size, to reach a cheaper joint."""


def choose_joints(program: Steps, limit: int) -> list[int]:
    """Return the first step of each part except the first.

    Each part is meant to have an even share of the remaining weights; of the joints near that size, the one with the
    fewest bytes crossing is chosen.

    Raises:
        ExportError: one operation reads more than the limit, or there is no place to cut.
    """
    steps, sizes = program.steps, program.sizes
    check_limit(program, limit)
    crossing = crossings(program)
    reach = reaches(steps, sizes, limit)
    fewest = fewest_parts(crossing, reach)
    if fewest[0] is None:
        raise ExportError(f"expected a place to cut within each {limit} bytes of weights, got none; raise the limit")
    joints: list[int] = []
    start = 0
    for left in range(fewest[0], 1, -1):
        start = next_joint(program, crossing, reach[start], fewest, start, left)
        joints.append(start)
    return joints


def next_joint(
    program: Steps,
    crossing: Sequence[int | None],
    reach: int,
    fewest: Sequence[int | None],
    start: int,
    left: int,
) -> int:
    """Return the end of the part that starts at step `start`, if `left` parts remain."""
    weights = running_bytes(program.steps[start:], program.sizes)
    target = weights[-1] / left

    def distance(joint: int) -> float:
        return abs(weights[joint - start - 1] - target)

    possible = [joint for joint in range(start + 1, reach + 1) if fits(fewest[joint], left - 1)]
    near = [joint for joint in possible if distance(joint) <= NEAR * target]
    if not near:
        return min(possible, key=distance)
    return min(near, key=lambda joint: (crossing[joint] or 0, distance(joint)))


def fits(parts: int | None, left: int) -> bool:
    """Return whether the remaining steps, which need `parts` parts (0 after the last step), fit into `left` parts."""
    return parts is not None and 0 < parts <= left


def check_limit(program: Steps, limit: int) -> None:
    """Raise `ExportError` if the weights of one operation exceed the limit."""
    for step in program.steps:
        own = file_bytes(sum(program.sizes[place] for place in step.weights))
        if own > limit:
            kind = program.block.operations[step.number].type
            raise ExportError(
                f"{kind} {quoted(step.writes[0])}: expected at most {limit / 1e6:g} MB of weights in a part, got "
                f"{own / 1e6:.3f} MB in this operation alone; raise the limit, or compress the package first"
            )


def crossings(program: Steps) -> list[int | None]:
    """Return the bytes that cross each joint 0..n, or None where a value would cross that a model cannot take."""
    count = len(program.steps)
    found: list[int | None] = [0] * (count + 1)
    writer = {name: number for number, step in enumerate(program.steps) for name in step.writes}
    last = {name: number for number, step in enumerate(program.steps) for name in step.reads}
    for name, until in last.items():
        if name not in writer:  # every part receives an input of the program
            continue
        size = crossing_bytes(program.types[name])
        for joint in range(writer[name] + 1, until + 1):
            before = found[joint]
            found[joint] = None if size is None or before is None else before + size
    return found


def reaches(steps: Sequence[ProgramStep], sizes: Mapping[Place, int], limit: int) -> list[int]:
    """Return, for each step, the end of the longest part that starts with it."""
    found: list[int] = []
    used: Counter[Place] = Counter()
    weight = end = 0
    for start, first in enumerate(steps):
        while end < len(steps):
            more = sum(sizes[place] for place in steps[end].weights if not used[place])
            if file_bytes(weight + more) > limit:
                break
            used.update(steps[end].weights)
            weight, end = weight + more, end + 1
        found.append(end)
        used.subtract(first.weights)
        weight -= sum(sizes[place] for place in first.weights if not used[place])
        assert end > start, "check_limit lets no step through that does not fit alone"
    return found


def fewest_parts(crossing: Sequence[int | None], reach: Sequence[int]) -> list[int | None]:
    """Return, for each joint, the fewest parts that the steps after it need; None if they cannot be cut.

    Taking the longest part first is optimal: steps that fit after an earlier joint also fit after a later one.
    """
    fewest: list[int | None] = [None] * len(crossing)
    fewest[-1] = 0
    for start in reversed(range(len(reach))):
        ends = (end for end in range(reach[start], start, -1) if fewest[end] is not None)
        end = next(ends, None)
        if end is not None and crossing[start] is not None:
            fewest[start] = 1 + (fewest[end] or 0)
    return fewest


def running_bytes(steps: Sequence[ProgramStep], sizes: Mapping[Place, int]) -> list[int]:
    """Return the bytes of weights of the first step, of the first two, and so on; each record counts once."""
    seen: set[Place] = set()
    total, found = 0, []
    for step in steps:
        total += sum(sizes[place] for place in step.weights - seen)
        seen |= step.weights
        found.append(file_bytes(total))
    return found
