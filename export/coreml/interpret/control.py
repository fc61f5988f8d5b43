"""Branches, loops and states: MIL operations that are more than functions of numbers.

A branch or a loop receives its blocks as functions of their inputs; a state is a cell that outlives a run when the
caller keeps it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.coreml.interpret.instruction import Operation, Shape
from mobile_diffusion.errors import ExportError

Run = Callable[..., tuple[Tensor, ...]]


def cond(blocks: tuple[Run, ...], pred: Tensor) -> tuple[Tensor, ...]:
    """What the first block returns if `pred`, else the second."""
    return blocks[0 if bool(pred) else 1]()


def while_loop(blocks: tuple[Run, ...], loop_vars: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The second block on its own results for as long as the first returns True."""
    while bool(blocks[0](*loop_vars)[0]):
        loop_vars = blocks[1](*loop_vars)
    return loop_vars


class State:
    """A tensor that a program reads and writes: zeros, or what was last written."""

    def __init__(self, name: str, shape: Shape) -> None:
        self.name = name
        self.value = torch.zeros(shape)


def read_state(input: State) -> Tensor:
    """A copy of what the state holds."""
    return input.value.clone()


def write_state(input: State, data: Tensor) -> tuple[()]:
    """Let the state hold a copy of a tensor.

    Raises:
        ExportError: it has not the state's shape.
    """
    if data.shape != input.value.shape:
        expected, got = tuple(input.value.shape), tuple(data.shape)
        raise ExportError(f"write_state {input.name!r}: expected shape {expected}, got {got}; export it again")
    input.value = data.clone()
    return ()


class StateBag:
    """The states of a program between its runs (`Program.new_states`)."""

    def __init__(self, shapes: dict[str, Shape]) -> None:
        self.cells = {name: State(name, shape) for name, shape in shapes.items()}

    def read(self, name: str) -> NDArray[np.float16]:
        """A copy of a state in float16, as it is stored."""
        return self._cell(name).value.half().numpy()

    def write(self, name: str, array: NDArray[np.floating]) -> None:
        """Replace a state by float16 numbers of its shape."""
        write_state(self._cell(name), torch.from_numpy(np.asarray(array)).half().float())

    def _cell(self, name: str) -> State:
        if name not in self.cells:
            raise ExportError(f"expected a state of {', '.join(self.cells) or 'none'}, got {name!r}")
        return self.cells[name]


CONTROL: dict[str, Operation] = {"cond": cond, "while_loop": while_loop}
"""Operations whose first argument is their blocks."""
STATES: dict[str, Operation] = {"read_state": read_state, "write_state": write_state}
