"""Writes one wrong number of a program down as a script that runs alone: its layer's inputs, weights and results.

The number is the output of the first layer that departs, where it departs most.  Only NumPy is needed to see what it
should be, and what half precision makes of it.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from export.stages import ExportStage
from export.studies.departures import Arrays
from export.studies.faults.modules import hooked_calls, in_layout_of
from mobile_diffusion.staging import write_bytes

SCRIPT = Template('''"""$stage: output $index of $module ($kind), which is a sum of $count products.

$runtime returned another number than PyTorch.  Run this file with NumPy; it needs nothing else.
"""

import base64
import zlib

import numpy as np


def unpack(text, dtype):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype).astype(np.float32)


inputs = unpack("$inputs", "$inputs_dtype")
weights = unpack("$weights", "$weights_dtype")
bias = $bias
pytorch = $pytorch
program = $program  # what $runtime returned

exact = float(inputs.astype(np.float64) @ weights.astype(np.float64)) + bias
half, largest = np.float16(0), 0.0
with np.errstate(over="ignore", invalid="ignore"):
    for product in inputs.astype(np.float16) * weights.astype(np.float16):
        half = np.float16(half + product)
        largest = max(largest, abs(float(half)))
    half = np.float16(half + np.float16(bias))

print(f"in float64                      {exact:.8g}")
print(f"PyTorch, float32                {pytorch:.8g}")
print(f"half precision, term by term    {float(half):.8g}   (largest sum on the way {largest:.8g}; half ends at 65504)")
print(f"the program                     {program:.8g}")
''')


@dataclass(frozen=True)
class Reproduction:
    """One output of a convolution or linear layer."""

    stage: str
    module: str
    kind: str
    index: tuple[int, ...]
    """Of the module's output in PyTorch's layout."""
    inputs: NDArray[np.float32]
    """What the output is computed from, (N,), in PyTorch."""
    weights: NDArray[np.float32]
    """(N,)"""
    bias: float
    pytorch: float
    program: float

    def script(self, runtime: str) -> str:
        """The Python script."""
        packed = {name: _packed(getattr(self, name)) for name in ("inputs", "weights")}
        return SCRIPT.substitute(
            stage=self.stage,
            module=self.module,
            kind=self.kind,
            index=list(self.index),
            count=len(self.inputs),
            runtime=runtime,
            bias=repr(self.bias),
            pytorch=_literal(self.pytorch),
            program=_literal(self.program),
            **{name: text for name, (text, _) in packed.items()},
            **{f"{name}_dtype": dtype for name, (_, dtype) in packed.items()},
        )

    def write(self, path: Path, runtime: str) -> None:
        """Write the script, replacing an existing file."""
        write_bytes(self.script(runtime).encode(), path)


def reproduce(stage: ExportStage, arrays: Arrays, name: str, value: NDArray[np.float32]) -> Reproduction | None:
    """The worst output of a module, whose output in the program is `value` in any layout.

    Returns None for other modules than convolutions and linear layers.
    """
    module = stage.module.get_submodule(name)
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return None
    calls = hooked_calls(stage.module, name, {key: torch.from_numpy(np.array(each)) for key, each in arrays.items()})
    given, wanted = calls[-1]
    got = in_layout_of(wanted, torch.from_numpy(np.array(value)))
    if got is None:
        return None
    distance = (got.double() - wanted.double()).abs().nan_to_num(nan=torch.inf)
    index = tuple(int(each) for each in np.unravel_index(int(distance.argmax()), wanted.shape))
    inputs, weights = _terms(module, given, index)
    bias = 0.0 if module.bias is None else float(module.bias[index[1 if isinstance(module, nn.Conv2d) else -1]])
    return Reproduction(
        stage.name, name, type(module).__name__, index, inputs, weights, bias, float(wanted[index]), float(got[index])
    )


def _terms(module: nn.Conv2d | nn.Linear, given: Tensor, index: tuple[int, ...]) -> tuple[Any, Any]:
    """The inputs and weights whose products add up to one output, flat and in the same order."""
    if isinstance(module, nn.Linear):
        return given[index[:-1]].numpy().copy(), module.weight[index[-1]].detach().numpy().copy()
    weight = module.weight[index[1]].detach()  # (in / groups, kh, kw)
    (top, left), (down, right) = (_pair(each) for each in (module.padding, module.stride))
    padded = F.pad(given, (left, left, top, top))
    first = index[1] * module.groups // module.out_channels * weight.shape[0]
    rows, columns = (
        slice(at * stride, at * stride + size * gap, gap)
        for at, stride, size, gap in zip(index[2:], (down, right), weight.shape[1:], module.dilation, strict=True)
    )
    patch = padded[index[0], first : first + weight.shape[0], rows, columns]
    return patch.reshape(-1).numpy().copy(), weight.reshape(-1).numpy().copy()


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _packed(values: NDArray[np.float32]) -> tuple[str, str]:
    """Numbers as text, in half if that loses nothing; and their dtype."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    dtype = "<f2" if np.array_equal(half.astype(np.float32), values) else "<f4"
    return base64.b64encode(zlib.compress(values.astype(dtype).tobytes(), 9)).decode(), dtype


def _literal(value: float) -> str:
    return repr(value) if np.isfinite(value) else f'float("{value}")'
