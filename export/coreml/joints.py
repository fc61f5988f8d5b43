"""Where to cut a program: as few consecutive parts as stay below a limit, joined where little has to cross.

Parts are half-open ranges of steps; a joint is the number of the first step after it.  Each part counts every
record that it reads once, so a weight that two parts read counts in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from export.coreml.repack import file_bytes
from export.coreml.steps import Place, ProgramStep, Steps, crossing_bytes
from mobile_diffusion.errors import ExportError

NEAR = 0.15
"""How far from balanced a part may be, as a part of its size, to be cut where less crosses."""


def choose_joints(program: Steps, limit: int) -> list[int]:
    """The first steps of all parts but the first.

    At each joint the rest is to be shared evenly; near that place the joint with the fewest bytes crossing is taken.

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
    """Where the first of `left` parts from step `start` on ends."""
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
    """Whether a rest that needs so many parts (0 after the last step) can be made of `left`."""
    return parts is not None and 0 < parts <= left


def check_limit(program: Steps, limit: int) -> None:
    """Raise `ExportError` for an operation whose own weights are more than a part may have."""
    for step in program.steps:
        own = file_bytes(sum(program.sizes[place] for place in step.weights))
        if own > limit:
            kind = program.block.operations[step.number].type
            raise ExportError(
                f"{kind} {step.writes[0]!r}: expected at most {limit / 1e6:g} MB of weights in a part, got "
                f"{own / 1e6:.3f} MB in this operation alone; raise the limit, or compress the package first"
            )


def crossings(program: Steps) -> list[int | None]:
    """For every joint 0..n the bytes that cross it; None where a value crosses that cannot be handed over."""
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
    """For every step the end of the longest part that begins with it."""
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
    """For every joint the fewest parts of what follows it; None where nothing may be cut, or the rest cannot be.

    The longest part first is best: what fits after an earlier joint fits after a later one.
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
    """Bytes of weights of the first step, of the first two, and so on: each record once."""
    seen: set[Place] = set()
    total, found = 0, []
    for step in steps:
        total += sum(sizes[place] for place in step.weights - seen)
        seen |= step.weights
        found.append(file_bytes(total))
    return found
