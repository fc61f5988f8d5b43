"""What a program becomes when it is read: instructions on numbered slots, in blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Operation = Callable[..., Any]
"""A function of the operands, named as in MIL, to a tensor or a tuple of them."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Instruction:
    """One operation of a program, with its operands as numbered slots."""

    name: str
    operation: str
    function: Operation
    operands: dict[str, int | tuple[int, ...]]
    results: tuple[int, ...]
    dtypes: tuple[str, ...]
    """MIL dtype of each result."""
    shapes: tuple[Shape | None, ...] = ()
    """Declared shape of each result; None where the program leaves a size open."""
    outputs: tuple[str, ...] = ()
    """Names of the values that it writes in the program."""
    blocks: tuple[Block, ...] = ()
    """Bodies of a branch or a loop."""
    last_uses: tuple[int, ...] = ()
    """Slots that no later instruction reads."""

    def slots_read(self) -> list[int]:
        """The slots of all operands, and those of outer values that its blocks read."""
        values = self.operands.values()
        read = [slot for value in values for slot in (value if isinstance(value, tuple) else (value,))]
        return read + [slot for block in self.blocks for slot in block.outer]


@dataclass(frozen=True)
class Block:
    """Instructions in order, with what they are given and what they give."""

    inputs: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]
    outer: tuple[int, ...] = ()
    """Slots that it reads and does not write."""
    left: tuple[int, ...] = ()
    """Its own slots that hold a value after its last instruction."""


Observer = Callable[[Instruction, Mapping[str, Any], tuple[Tensor, ...], tuple[Tensor, ...]], None]
"""Called after every instruction with its operands as they were computed with (float32 views), the exact results in
float32, and the results as they are stored.  It must change none of them."""


def finished_block(
    inputs: Sequence[int], drafts: Sequence[Instruction], outputs: Sequence[int], constants: Mapping[int, object]
) -> Block:
    """A block whose instructions know which slots they are the last to read (or write for nobody)."""
    own = {*inputs, *(slot for draft in drafts for slot in draft.results)}
    read = {*outputs, *(slot for draft in drafts for slot in draft.slots_read())}
    outer = read - own - constants.keys()
    instructions = with_last_uses(drafts, {*outputs, *outer, *constants})
    freed = {slot for instruction in instructions for slot in instruction.last_uses}
    return Block(tuple(inputs), instructions, tuple(outputs), tuple(sorted(outer)), tuple(sorted(own - freed)))


def with_last_uses(drafts: Sequence[Instruction], kept: set[int]) -> tuple[Instruction, ...]:
    """The instructions, each with its `last_uses`; slots in `kept` are left alone."""
    seen = set(kept)
    finished: list[Instruction] = []
    for draft in reversed(drafts):
        used = (*draft.results, *draft.slots_read())
        last = tuple(dict.fromkeys(slot for slot in used if slot not in seen))
        seen.update(last)
        finished.append(dataclasses.replace(draft, last_uses=last))
    return tuple(reversed(finished))
