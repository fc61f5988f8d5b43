"""Where an XNNPACK program leaves PyTorch.

A delegate shows no values inside.  So two questions are asked of the same stage, lowered once more: whether the file
has its constants, and, if so, what XNNPACK computes in each module, when their outputs are outputs of the program.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.evidence.constants import first_difference
from export.executorch.constants import constants_of
from export.executorch.lower import lower
from export.executorch.options import XnnpackOptions
from export.rewrites.xnnpack import rewrite
from export.runners.executorch import ExecuTorchRunner
from export.signatures import TensorSpec
from export.stages import ExportStage
from export.studies.departures import Arrays, Inside

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class WrongConstant:
    """A constant of a program that is not the checkpoint's."""

    stage: str
    place: str
    """Its name in the file and the index of the first number that differs."""
    parameter: str
    """The parameter of the stage's module that it is; "" if it is none as it stands."""
    expected: str
    got: str

    def __str__(self) -> str:
        name = f"{self.parameter} ({self.place})" if self.parameter else self.place
        return f"{self.stage}: {name}: expected {self.expected}, got {self.got}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


def wrong_constant(stage: ExportStage, file: Path, options: XnnpackOptions) -> WrongConstant | None:
    """The first constant of a program that is not that of the stage lowered again; None if there is none.

    Raises `ExportError` if the file cannot be read or the stage not be lowered.
    """
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        again = Path(folder) / lower(stage, Path(folder), options)
        found = first_difference("xnnpack", again, file)
        if found is None:
            return None
        name = found[0].partition("[")[0]
        expected = next((array for other, array in constants_of(again) if other == name), None)
        parameter = "" if expected is None else parameter_of(expected, stage.module)
        return WrongConstant(stage.name, found[0], parameter, *found[1:])


def parameter_of(array: np.ndarray, module: nn.Module) -> str:
    """The name of the parameter with these numbers, as it is or channels last, also rounded to half; "" for none."""
    for name, parameter in module.named_parameters():
        if parameter.numel() != array.size:
            continue
        stored = parameter.detach().permute(0, 2, 3, 1) if parameter.dim() == 4 else parameter.detach()
        either = (stored, parameter.detach())
        if any(np.array_equal(each.numpy().astype(array.dtype).ravel(), array.ravel()) for each in either):
            return name
    return ""


def inside_with(options: XnnpackOptions) -> Inside:
    """Returns what computes the values inside a stage that is lowered with these options, and in float32."""

    def inside(stage: ExportStage, file: Path, arrays: Arrays) -> tuple[Values, Values]:
        stored = values_inside(stage, arrays, options)
        return stored, stored if options.precision == "fp32" else values_inside(stage, arrays, XnnpackOptions())

    return inside


def values_inside(stage: ExportStage, arrays: Arrays, options: XnnpackOptions) -> Values:
    """Lower the stage with the output of every module as an output, run it with XNNPACK, and return these by name."""
    module, names = tapped(rewrite(stage.module))
    with torch.inference_mode():
        given = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        found = module(**given)[len(stage.outputs) :]
    specs = [TensorSpec(name, "float32", tuple(each.shape)) for name, each in zip(names, found, strict=True)]
    seen = dataclasses.replace(stage, module=module, outputs=(*stage.outputs, *specs))
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        path = lower(seen, Path(folder), options)
        values = ExecuTorchRunner.load(Path(folder), {stage.name: path}, 1).run(stage.name, **arrays)
    return {name: values[name] for name in names}


def tapped(module: nn.Module) -> tuple[nn.Module, list[str]]:
    """The same module, which also returns the float32 output of every module in it; and the names of these.

    The list is filled when the module runs.
    """
    names: list[str] = []

    class Tapped(type(module)):  # type: ignore[misc]
        def forward(self, **given: Tensor) -> tuple[Tensor, ...]:
            found: dict[str, Tensor] = {}
            hooks = [each.register_forward_hook(kept(found, name)) for name, each in self.named_modules() if name]
            try:
                returned = super().forward(**given)
            finally:
                for hook in hooks:
                    hook.remove()
            names[:] = found
            return (*(returned if isinstance(returned, tuple) else (returned,)), *found.values())

    seen = copy.copy(module)
    seen.__class__ = Tapped
    return seen, names


def kept(found: dict[str, Tensor], name: str) -> Any:
    """A hook that keeps the last float32 output of a module under its name."""

    def hook(module: nn.Module, given: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dtype == torch.float32:
            found.pop(name, None)
            found[name] = output

    return hook
