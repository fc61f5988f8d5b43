"""Compares a program with the PyTorch module it was made from, submodule by submodule, by name.

The package says which module each of its values came from (torch_sources.py); the last value of a module is what it
returns, up to the layout.  The first module that departs is where to look.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from export.coreml.interpret import Instruction
from export.coreml.torch_sources import source_of
from export.studies.faults.lockstep import Arrays, Operands, Tensors, signal_to_noise

SAME_DB = 20.0
"""Ratio in dB above which two tensors are equal up to rounding; in a wrong layout it would be about 0 dB."""


@dataclass(frozen=True)
class ModuleDistance:
    """The distance between a module's value in the program and in PyTorch."""

    module: str
    kind: str
    """Its class."""
    operation: str
    """Name of the module's last operation in the program."""
    snr_db: float
    """SNR of the program as stored, in dB."""
    float32_db: float
    """The same in float32; low where a pass has merged the value into another form."""


@dataclass(frozen=True)
class ModuleValue:
    """The last value of a module in a run of the program."""

    position: int
    operation: str
    tensor: Tensor


@dataclass
class ModuleValues:
    """An observer that keeps the last float value of every module and of its parent modules."""

    sources: Mapping[str, str]
    halved: bool
    """Whether values that the program stores in float16 are kept in float16; only a float32 run loses by it."""
    found: dict[str, ModuleValue] = field(default_factory=dict)
    count: int = 0

    def __call__(self, instruction: Instruction, operands: Operands, exact: Tensors, stored: Tensors) -> None:
        """The interpreter calls this after every instruction."""
        self.count += 1
        module = source_of(instruction.outputs, self.sources)
        if module is None or not stored[-1].is_floating_point():
            return
        half = self.halved and instruction.dtypes[-1] == "fp16"
        value = ModuleValue(self.count, instruction.name, stored[-1].half() if half else stored[-1].clone())
        self.found |= dict.fromkeys(enclosing(module), value)


def against_modules(
    module: nn.Module, arrays: Arrays, stored: ModuleValues, exact: ModuleValues
) -> list[ModuleDistance]:
    """Run PyTorch and compare every module that the package knows and PyTorch calls, in the program's order.

    Each output of PyTorch is compared at once, so only the program's values are kept.
    """
    rows: dict[str, ModuleDistance] = {}

    def compare(name: str, submodule: nn.Module, output: object) -> None:
        ratios = [best_match(output, values.found[name].tensor) for values in (stored, exact)]
        if ratios[0] is not None and ratios[1] is not None:
            kind, operation = type(submodule).__name__, stored.found[name].operation
            rows[name] = ModuleDistance(name, kind, operation, ratios[0], ratios[1])

    with hooked(module, stored.found, compare), torch.inference_mode():
        module(**{name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
    return sorted(rows.values(), key=lambda row: (stored.found[row.module].position, -len(row.module)))


def enclosing(module: str) -> Iterator[str]:
    """A module and its parents: "a.b.c" returns "a.b.c", "a.b", "a" and ""."""
    while module:
        yield module
        module = module.rpartition(".")[0]
    yield ""


@contextmanager
def hooked(module: nn.Module, names: Mapping[str, object], compare: Any) -> Iterator[None]:
    """While it is open, every call of a named submodule is followed by `compare(name, submodule, output)`."""

    def hook_of(name: str) -> Any:
        return lambda submodule, given, output: compare(name, submodule, output)

    present = dict(module.named_modules())
    hooks = [present[name].register_forward_hook(hook_of(name)) for name in names if name in present]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def hooked_calls(module: nn.Module, name: str, given: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Run a module; return the input and output of every call of one of its submodules that takes one tensor."""
    calls: list[tuple[Tensor, Tensor]] = []
    hook = module.get_submodule(name).register_forward_hook(lambda _, args, output: calls.append((args[0], output)))
    try:
        with torch.inference_mode():
            module(**given)
    finally:
        hook.remove()
    return calls


def in_layout_of(output: Tensor, value: Tensor) -> Tensor | None:
    """A value in the layout of a module's output, the nearest of those that fit; None if none fits."""
    wanted, best, nearest = without_ones(output), None, -torch.inf
    for order in itertools.permutations(range(wanted.dim())):
        turned = wanted.permute(order)
        if output.numel() != value.numel() or not flattens_to(turned.shape, without_ones(value).shape):
            continue
        ratio = signal_to_noise(turned.reshape(-1).float(), value.reshape(-1).float())
        if best is None or ratio > nearest:
            back = [order.index(axis) for axis in range(len(order))]
            best, nearest = value.reshape(turned.shape).permute(back).reshape(output.shape), ratio
    return best


def best_match(output: object, value: Tensor) -> float | None:
    """The best signal-to-noise ratio of a value to a tensor that a module returned; None where no shape fits.

    Tries layouts until one is close enough that it must be the right one.
    """
    best: float | None = None
    for reference, got in candidates(output, value):
        ratio = signal_to_noise(reference, got)
        best = ratio if best is None or ratio > best or best != best else best
        if ratio > SAME_DB:
            break
    return best


def candidates(output: object, value: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of one shape: what a module returned, its axes in some order and flattened, and the value."""
    for tensor in output if isinstance(output, tuple | list) else [output]:
        if not isinstance(tensor, Tensor) or tensor.numel() != value.numel():
            continue
        wanted, got = without_ones(tensor).float(), without_ones(value).float()
        for order in itertools.permutations(range(wanted.dim())):
            turned = wanted.permute(order)
            if flattens_to(turned.shape, got.shape):
                yield turned.reshape(-1), got.reshape(-1)


def without_ones(tensor: Tensor) -> Tensor:
    """The tensor without its axes of size one."""
    return tensor.reshape([size for size in tensor.shape if size != 1])


def flattens_to(long: tuple[int, ...], short: tuple[int, ...]) -> bool:
    """Whether merging neighbouring axes of one shape yields the other."""
    ends = [set(itertools.accumulate(shape, lambda a, b: a * b)) for shape in (long, short)]
    return ends[0] <= ends[1] or ends[1] <= ends[0]


def first_departure(rows: Sequence[ModuleDistance], bound_db: float) -> ModuleDistance | None:
    """The first module that rounding takes further from PyTorch than the bound; NaN is further.

    A module that is far off in float32 too is stored in another form (`first_wrong`) and says nothing about rounding.
    """
    return next((row for row in rows if row.float32_db >= bound_db and not row.snr_db >= bound_db), None)


def first_wrong(rows: Sequence[ModuleDistance], bound_db: float) -> ModuleDistance | None:
    """The first module after which even the float32 program stays away from PyTorch: the graph is wrong there."""
    far = [not row.float32_db >= bound_db for row in rows]
    recovered = next((number for number in range(len(rows), 0, -1) if not far[number - 1]), 0)
    return rows[recovered] if recovered < len(rows) else None
