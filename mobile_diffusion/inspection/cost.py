"""Measures the cost of one run of a network without its weights, on the meta device, which computes only shapes.

Multiply-accumulates are those of convolutions and matrix products, by torch's flop counter; norms and activation
functions are not counted.  For activation memory, a tensor is alive from the operation that creates it to the last
one that reads it, as for a memory planner.  Weights are not counted, and no operation is assumed to work in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Cost:
    """The cost of one run of a network at one input size."""

    macs: int
    """Multiply-accumulates."""
    activation_bytes: int
    """Peak memory of activations in bytes, in float32."""
    peak: str
    """The operation at the peak, with the shape of its output."""


def measure(network: nn.Module, run: Callable[[], object]) -> Cost:
    """Measure `run`, which calls `network`; all tensors are on the meta device."""
    recorder = _Recorder((*network.parameters(), *network.buffers()))
    with torch.no_grad(), recorder:
        result = run()
    recorder.use(result)
    peak, operation = recorder.peak()
    return Cost(recorder.flops // 2, peak, operation)


@dataclass
class _Life:
    """Size of a tensor's memory in bytes, and the indices of the first and the last operation that need it."""

    size: int
    born: int
    last: int


class _Recorder(TorchDispatchMode):
    """Records the work of each operation and the memory that it creates and reads."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.flops = 0
        self._operations: list[str] = []
        self._storages = [tensor.untyped_storage() for tensor in weights]  # kept alive, so that no address is reused
        self._weights = {storage._cdata for storage in self._storages}
        self._lives: dict[int, _Life] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **kwargs, out_val=result)
        first = next((tensor for tensor in tree_leaves(result) if isinstance(tensor, Tensor)), None)
        shape = "" if first is None else "x".join(map(str, first.shape))
        self._operations.append(f"{func._overloadpacket.__name__.strip('_')} {shape}")
        self.use((args, kwargs, result))
        return result

    def use(self, tensors: object) -> None:
        """Record that the latest operation needs these tensors."""
        now = max(len(self._operations) - 1, 0)
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, Tensor):
                self._use_one(tensor.untyped_storage(), now)

    def _use_one(self, storage: torch.UntypedStorage, now: int) -> None:
        key = storage._cdata
        if key in self._weights:
            return
        if key in self._lives:
            self._lives[key].last = now
        else:
            self._storages.append(storage)
            self._lives[key] = _Life(storage.nbytes(), now, now)

    def peak(self) -> tuple[int, str]:
        """Peak of the bytes alive at once, and the operation at the peak."""
        changes = [0] * (len(self._operations) + 1)
        for life in self._lives.values():
            changes[life.born] += life.size
            changes[life.last + 1] -= life.size
        live = most = at = 0
        for index, change in enumerate(changes):
            live += change
            if live > most:
                most, at = live, index
        return most, self._operations[at] if self._operations else ""
