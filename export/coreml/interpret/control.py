"""MIL's branches, loops and states.

A branch or a loop takes its blocks as functions of their inputs.  A state is a cell that keeps its content between runs
if the caller keeps the cell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.coreml.interpret.instruction import Operation, Shape
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

Run = Callable[..., tuple[Tensor, ...]]


def cond(blocks: tuple[Run, ...], pred: Tensor) -> tuple[Tensor, ...]:
    """Return the results of the first block if `pred` is true, else those of the second."""
    return blocks[0 if bool(pred) else 1]()


def while_loop(blocks: tuple[Run, ...], loop_vars: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Call the second block on its own results as long as the first block returns True; returns the last results."""
    while bool(blocks[0](*loop_vars)[0]):
        loop_vars = blocks[1](*loop_vars)
    return loop_vars


class State:
    """A tensor that a program reads and writes; zeros at first."""

    def __init__(self, name: str, shape: Shape) -> None:
        self.name = name
        self.value = torch.zeros(shape)


def read_state(input: State) -> Tensor:
    """Return a copy of the content of a state."""
    return input.value.clone()


def write_state(input: State, data: Tensor) -> tuple[()]:
    """Write a copy of a tensor to a state.

    Raises:
        ExportError: the tensor does not have the state's shape.
    """
    if data.shape != input.value.shape:
        expected, got = tuple(input.value.shape), tuple(data.shape)
        raise ExportError(f"write_state {quoted(input.name)}: expected shape {expected}, got {got}; export it again")
    input.value = data.clone()
    return ()


class StateBag:
    """The states of a program between its runs (`Program.new_states`)."""

    def __init__(self, shapes: dict[str, Shape]) -> None:
        self.cells = {name: State(name, shape) for name, shape in shapes.items()}

    def read(self, name: str) -> NDArray[np.float16]:
        """Return a copy of a state in float16, as stored."""
        return self._cell(name).value.half().numpy()

    def write(self, name: str, array: NDArray[np.floating]) -> None:
        """Replace the content of a state; `array` has its shape and is rounded to float16."""
        write_state(self._cell(name), torch.from_numpy(np.asarray(array)).half().float())

    def _cell(self, name: str) -> State:
        if name not in self.cells:
            raise ExportError(f"expected a state of {', '.join(self.cells) or 'none'}, got {quoted(name)}")
        return self.cells[name]


CONTROL: dict[str, Operation] = {"cond": cond, "while_loop": while_loop}
"""Operations that take their blocks as the first argument."""
STATES: dict[str, Operation] = {"read_state": read_state, "write_state": write_state}
