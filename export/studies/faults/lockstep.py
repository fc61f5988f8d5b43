"""Two runs of one program side by side: as stored, and in float32 throughout.

The runs are two threads that hand over one instruction's results at a time, so that no more is kept than two
programs need.  What the first run has lost against the second is rounding, and nothing else.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from export.coreml.interpret import Instruction, Observer, Program
from export.coreml.torch_sources import source_of
from export.studies.faults.counts import PIECE
from mobile_diffusion.decibels import ratio_db, worst
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

Arrays = Mapping[str, Any]
"""Arrays by the name of an input."""
Operands = Mapping[str, Any]
Tensors = tuple[Tensor, ...]
PATIENCE = 0.1
"""Seconds between two checks whether the other run has ended."""


@dataclass(frozen=True)
class Distance:
    """How far one operation's result is from the reference."""

    position: int
    """Index among the operations that compute floats."""
    name: str
    operation: str
    module: str | None
    outputs: tuple[str, ...]
    """Names of its values."""
    snr_db: float
    """Energy of the reference over energy of the error, in dB; NaN or -inf if a result is not finite."""


def handed_on(
    distances: Sequence[Distance], bound_db: float, readers: Mapping[str, AbstractSet[str]]
) -> list[Distance]:
    """The operations that are further from the reference than the bound and hand that on to the end, in order.

    `readers` says of a value which values are computed from it.  An operation counts when one that reads it counts,
    or when nothing reads it because it is an output: an error that is lost again, as that of a small summand, is none.
    NaN is further than any bound.
    """
    values: set[str] = set()
    leaving: list[Distance] = []
    for each in reversed(distances):
        read_by = {name for output in each.outputs for name in readers.get(output, ())}
        if not each.snr_db >= bound_db and (not read_by or read_by & values):
            values |= set(each.outputs)
            leaving.append(each)
    return leaving[::-1]


def against_float32(
    stored: Program,
    exact: Program,
    arrays: Arrays,
    sources: Mapping[str, str],
    watchers: tuple[Sequence[Observer], Sequence[Observer]] = ((), ()),
) -> list[Distance]:
    """Run two precisions of one package on the same inputs and compare every result of floats.

    `watchers` see the runs, too: the first of the pair that of `stored`, the other that of `exact`.

    Raises:
        ExportError: the inputs are not what the program takes.
    """
    distances: list[Distance] = []
    other = Follower(stored, arrays, watchers[0])

    def compare(instruction: Instruction, operands: Operands, found: Tensors, kept: Tensors) -> None:
        for watch in watchers[1]:
            watch(instruction, operands, found, kept)
        name, results = other.next()
        if name != instruction.name:
            raise ExportError(f"expected both runs at {quoted(instruction.name)}, got one at {quoted(name)}")
        pairs = [pair for pair in zip(kept, results, strict=True) if pair[0].is_floating_point() and pair[0].numel()]
        if pairs:
            ratio = worst(signal_to_noise(*pair) for pair in pairs)
            module = source_of(instruction.outputs, sources)
            outputs = tuple(instruction.outputs)
            distances.append(Distance(len(distances), name, instruction.operation, module, outputs, ratio))

    with other:
        exact.run(compare, **arrays)
    return distances


def signal_to_noise(reference: Tensor, candidate: Tensor) -> float:
    """10 log10(sum r^2 / sum (r - c)^2) in float64, by pieces; infinite when equal, NaN with NaN."""
    signal, noise = 0.0, 0.0
    pieces = zip(reference.reshape(-1).split(PIECE), candidate.reshape(-1).split(PIECE), strict=True)
    for wanted, got in pieces:
        double = wanted.double()
        signal += float(double.square().sum())
        noise += float((double - got).square().sum())
    return ratio_db(signal, noise)


class FollowerStopped(Exception):
    """Ends the run of a `Follower` whose results nobody takes any more."""


class Follower:
    """A program that runs in its own thread and waits after every instruction until its results are taken."""

    def __init__(self, program: Program, arrays: Arrays, watchers: Sequence[Observer]) -> None:
        self.results: queue.Queue[tuple[str, Tensors] | Exception] = queue.Queue(maxsize=1)
        self.watchers = watchers
        self.ended = threading.Event()
        self.threads = torch.get_num_threads()
        self.thread = threading.Thread(target=self.run, args=(program, arrays), daemon=True)

    def __enter__(self) -> Follower:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.thread.join()

    def run(self, program: Program, arrays: Arrays) -> None:
        """The thread's work; it hands over an error like a result."""
        torch.set_num_threads(self.threads)  # a new thread has torch's default
        try:
            program.run(self.hand_over, **arrays)
        except FollowerStopped:
            return
        except Exception as error:
            self.put(error)

    def hand_over(self, instruction: Instruction, operands: Operands, exact: Tensors, stored: Tensors) -> None:
        """The observer of the thread's run."""
        for watch in self.watchers:
            watch(instruction, operands, exact, stored)
        self.put((instruction.name, stored))
        if self.ended.is_set():
            raise FollowerStopped

    def put(self, item: tuple[str, Tensors] | Exception) -> None:
        """Hand a result over, unless nobody takes it any more."""
        while not self.ended.is_set():
            try:
                return self.results.put(item, timeout=PATIENCE)
            except queue.Full:
                continue

    def next(self) -> tuple[str, Tensors]:
        """Return name and results of the next instruction; raises what the run raised."""
        while True:
            try:
                item = self.results.get(timeout=PATIENCE)
                break
            except queue.Empty:
                if not self.thread.is_alive() and self.results.empty():
                    raise ExportError("expected as many operations from both runs, got fewer from one") from None
        if isinstance(item, Exception):
            raise item
        return item
