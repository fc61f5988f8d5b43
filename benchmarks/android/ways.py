"""The ways in which one stage can run on a processor: each is made into a file, and opened again.

A way takes a stage in float32 and has two functions: `make` writes what it needs into a folder (nothing for
PyTorch's two), `open` returns a function that runs the stage once.  "naive" is ExecuTorch's guide, applied to the stage
as PyTorch has it; "ours" is what `mobile-diffusion export android` writes; "onnx" is our ONNX model in ONNX Runtime,
and "openvino" the same model in OpenVINO with float32 kept; "eager" and "compiled" are PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from export.stages import ExportStage
from mobile_diffusion import autoencoder, text_encoder, unet

Arrays = Mapping[str, np.ndarray]
Run = Callable[[], np.ndarray]
"""Runs a stage once on inputs that it was opened with; returns its first output."""


@dataclass(frozen=True)
class Way:
    """One way to run a stage."""

    title: str
    make: Callable[[ExportStage, Path], object] | None
    """Writes the stage into a folder; None where the module itself is run."""
    open: Callable[[ExportStage, Path, Arrays, int], Run]
    """Stage, the folder, inputs in order, threads."""
    package: str
    """Imported before the clock runs."""


def fused_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """`mobile_diffusion.blocks.attention` with PyTorch's own operation: (B, Q, W)."""
    split = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(*split, mask).transpose(1, 2).flatten(2)


@torch.no_grad()
def make_naive(stage: ExportStage, folder: Path) -> tuple[int, dict[str, int]]:
    """Export, lower to XNNPACK with its defaults, write; returns the number of delegates and the operations outside.

    Attention is one operation of PyTorch, as it is in diffusers.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from export.executorch.lower import inspect

    with ExitStack() as stack:
        for module in (autoencoder, text_encoder, unet):
            stack.enter_context(patch.object(module, "attention", fused_attention))
        program = torch.export.export(stage.module, (), stage.example())
    lowered = to_edge_transform_and_lower({stage.name: program}, partitioner=[XnnpackPartitioner()]).to_executorch()
    with (folder / f"{stage.name}.pte").open("wb") as file:
        lowered.write_to_file(file)
    found = inspect(lowered, stage.name)
    return found.delegates, found.undelegated


def make_ours(stage: ExportStage, folder: Path) -> None:
    """As the Android export does."""
    from export.executorch.lower import lower

    lower(stage, folder)


def make_onnx(stage: ExportStage, folder: Path) -> None:
    """As the Android export does."""
    from export.onnx.lower import lower

    lower(stage, folder)


def open_executorch(stage: ExportStage, folder: Path, arrays: Arrays, threads: int) -> Run:
    """ExecuTorch's runtime."""
    from executorch.runtime import Runtime

    from export.runners.executorch import set_threads

    set_threads(threads)
    program = Runtime.get().load_program(folder / f"{stage.name}.pte")
    method, inputs = program.load_method(stage.name), [torch.from_numpy(array) for array in arrays.values()]
    held = (program, method)
    return lambda: held[1].execute(inputs)[0].numpy()


def open_onnx(stage: ExportStage, folder: Path, arrays: Arrays, threads: int) -> Run:
    """ONNX Runtime."""
    from export.runners.onnxruntime import OnnxRuntimeRunner

    runner = OnnxRuntimeRunner.load(folder, {stage.name: f"{stage.name}.onnx"}, threads)
    return lambda: next(iter(runner.run(stage.name, **arrays).values()))


def open_openvino(stage: ExportStage, folder: Path, arrays: Arrays, threads: int) -> Run:
    """OpenVINO on the processor, with float32 kept."""
    import openvino

    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.Core().compile_model(folder / f"{stage.name}.onnx", "CPU", settings)
    request, feed = model.create_infer_request(), list(arrays.values())
    return lambda: next(iter(request.infer(feed).values()))


def open_eager(stage: ExportStage, folder: Path, arrays: Arrays, threads: int) -> Run:
    """PyTorch as it is, with its fused attention."""
    return _torch(stage.module, arrays, threads)


def open_compiled(stage: ExportStage, folder: Path, arrays: Arrays, threads: int) -> Run:
    """`torch.compile` with its defaults."""
    return _torch(torch.compile(stage.module), arrays, threads)


def _torch(module: Callable[..., Any], arrays: Arrays, threads: int) -> Run:
    torch.set_num_threads(threads)
    inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}

    @torch.inference_mode()
    def run() -> np.ndarray:
        output = module(**inputs)
        return (output[0] if isinstance(output, tuple) else output).numpy()

    return run


WAYS: dict[str, Way] = {
    "naive": Way("ExecuTorch, naive", make_naive, open_executorch, "executorch.runtime"),
    "ours": Way("ExecuTorch, ours", make_ours, open_executorch, "executorch.runtime"),
    "eager": Way("PyTorch", None, open_eager, "torch"),
    "compiled": Way("torch.compile", None, open_compiled, "torch._inductor"),
    "onnx": Way("ONNX Runtime, our model", make_onnx, open_onnx, "onnxruntime"),
    "openvino": Way("OpenVINO, our ONNX model", make_onnx, open_openvino, "openvino"),
}
