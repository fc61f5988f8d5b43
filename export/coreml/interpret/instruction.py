"""The form of a program after reading: blocks of instructions on numbered slots."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Operation = Callable[..., Any]
"""Takes the operands, with MIL's names; returns a tensor or a tuple of tensors."""
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
    """The MIL dtype of each result."""
    shapes: tuple[Shape | None, ...] = ()
    """The declared shape of each result; None if a size is not static."""
    outputs: tuple[str, ...] = ()
    """Names of the results in the program."""
    blocks: tuple[Block, ...] = ()
    """The blocks of a branch or a loop."""
    last_uses: tuple[int, ...] = ()
    """Slots that no later instruction reads."""

    def slots_read(self) -> list[int]:
        """Return the slots of all operands, and of the outer values that its blocks read."""
        values = self.operands.values()
        read = [slot for value in values for slot in (value if isinstance(value, tuple) else (value,))]
        return read + [slot for block in self.blocks for slot in block.outer]


@dataclass(frozen=True)
class Block:
    """Instructions in order, with the slots of their inputs and outputs."""

    inputs: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]
    outer: tuple[int, ...] = ()
    """Slots that the block reads but does not write."""
    left: tuple[int, ...] = ()
    """Slots of the block that still have a value after its last instruction."""


Observer = Callable[[Instruction, Mapping[str, Any], tuple[Tensor, ...], tuple[Tensor, ...]], None]
"""Called after each instruction with its operands (as float32), its float32 results before rounding, and its results as
stored.  It must not change any of them."""


def finished_block(
    inputs: Sequence[int], drafts: Sequence[Instruction], outputs: Sequence[int], constants: Mapping[int, object]
) -> Block:
    """Return a block whose instructions list the slots that no later instruction reads."""
    own = {*inputs, *(slot for draft in drafts for slot in draft.results)}
    read = {*outputs, *(slot for draft in drafts for slot in draft.slots_read())}
    outer = read - own - constants.keys()
    instructions = with_last_uses(drafts, {*outputs, *outer, *constants})
    freed = {slot for instruction in instructions for slot in instruction.last_uses}
    return Block(tuple(inputs), instructions, tuple(outputs), tuple(sorted(outer)), tuple(sorted(own - freed)))


def with_last_uses(drafts: Sequence[Instruction], kept: set[int]) -> tuple[Instruction, ...]:
    """Return the instructions, each with its `last_uses`; slots in `kept` are excluded."""
    seen = set(kept)
    finished: list[Instruction] = []
    for draft in reversed(drafts):
        used = (*draft.results, *draft.slots_read())
        last = tuple(dict.fromkeys(slot for slot in used if slot not in seen))
        seen.update(last)
        finished.append(dataclasses.replace(draft, last_uses=last))
    return tuple(reversed(finished))
