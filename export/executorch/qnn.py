"""Lowers a stage to an ExecuTorch program for Qualcomm's NPU, `<stage>.pte`; needs Qualcomm's SDK.

Unverified: we had neither the SDK nor a phone, so the tests cover only the errors when the SDK is missing
(tests/export/executorch/test_qnn.py).  Upstream would download the SDK without asking; `check` raises an error instead,
before any work starts.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from export.executorch.options import QNN_SOC, QnnOptions
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

SDK_VARIABLE = "QNN_SDK_ROOT"
COMPILER = Path("lib/x86_64-linux-clang/libQnnHtp.so")
"""The SDK's compiler for the NPU, relative to the SDK."""
BINDINGS = "executorch.backends.qualcomm.python.PyQnnManagerAdaptor"
"""ExecuTorch's bindings to the SDK, which only its packages for some systems contain."""


def check() -> None:
    """Raise `ExportError` unless Qualcomm's SDK and ExecuTorch's bindings to it are installed."""
    root = os.environ.get(SDK_VARIABLE, "")
    if not root:
        raise ExportError(
            f"qnn: expected Qualcomm's AI Engine Direct SDK at ${SDK_VARIABLE}, got no such variable; download the SDK "
            f"from Qualcomm, unpack it and set {SDK_VARIABLE} to its folder, or choose another --runtime"
        )
    if not (Path(root) / COMPILER).is_file():
        raise ExportError(
            f"qnn: expected {COMPILER} in ${SDK_VARIABLE}, got none in {root}; set it to the folder of Qualcomm's AI "
            "Engine Direct SDK for Linux, or choose another --runtime"
        )
    if not _has_bindings():
        raise ExportError(
            f"qnn: expected the module {BINDINGS}, got none in the installed executorch; install its package "
            "for Linux on x86-64, or choose another --runtime"
        )


def _has_bindings() -> bool:
    try:
        return importlib.util.find_spec(BINDINGS) is not None
    except ModuleNotFoundError:
        return False


@torch.no_grad()
def lower(stage: ExportStage, folder: Path, options: QnnOptions | None = None) -> str:
    """Write `<stage>.pte` and `<stage>.json` into `folder`; returns the path of the program relative to `folder`.

    Raises `ExportError` if the SDK is missing or cannot compile the stage.
    """
    check()
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
    from executorch.backends.qualcomm.utils.utils import (
        generate_htp_compiler_spec,
        generate_qnn_executorch_compiler_spec,
        to_edge_transform_and_lower_to_qnn,
    )

    from export.executorch.lower import inspect
    from export.executorch.signature import write_signature

    specs = generate_qnn_executorch_compiler_spec(QcomChipset[QNN_SOC], generate_htp_compiler_spec(use_fp16=True))
    example = stage.example()
    module = Positional(stage.module, tuple(example))
    try:
        edge = to_edge_transform_and_lower_to_qnn(
            {stage.name: module}, {stage.name: tuple(example.values())}, {stage.name: specs}
        )
        program = edge.to_executorch()
    except (RuntimeError, OSError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise ExportError(f"{stage.name}: expected a program for Qualcomm's NPU, got: {reason}") from error
    path = folder / f"{stage.name}.pte"
    with path.open("wb") as file:
        program.write_to_file(file)
    write_signature(path, stage, inspect(program, stage.name), soc=QNN_SOC)
    return path.name


class Positional(nn.Module):
    """A stage's module that takes its inputs by position, as upstream passes them."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Call the module with the tensors of the stage's inputs, in order."""
        return self.module(**dict(zip(self.names, inputs, strict=True)))
