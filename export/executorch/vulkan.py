"""A stage as an ExecuTorch program for a phone's GPU, `<stage>.pte`: one method of the stage's name, on Vulkan.

The partitioner takes nearly all that a stage contains; rewrites/vulkan.py replaces the rest, so that a stage is one
delegate.  There is no Vulkan runtime of ExecuTorch for this computer: what is checked is the program up to the
delegate (`edge_program`, which torch can run) and what is in the file, not what a GPU computes.

With the precision fp16 weights and arithmetic are in half, the update of the latents too, and GELU is Vulkan's
approximation by tanh, whose error is that of half.  In fp32 it is exact.  Vulkan's own group norm takes the variance as
E[x^2] - E[x]^2 in float32, which loses digits where the mean is far larger than the deviation.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from executorch.exir import EdgeProgramManager, to_edge_transform_and_lower
from executorch.exir.tracer import _default_decomposition_table
from torch import Tensor, nn
from torch.export import ExportedProgram

from export.executorch.lower import inspect
from export.executorch.options import VulkanOptions
from export.executorch.passes import quick_passes
from export.executorch.signature import write_signature
from export.executorch.weights import deferred_weights
from export.rewrites.vulkan import gelu, rewrite
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

GELU = torch.ops.aten.gelu.default


def lower(stage: ExportStage, folder: Path, options: VulkanOptions | None = None) -> str:
    """Write `<stage>.pte` and `<stage>.json` into `folder`; returns the former's relative path.

    Raises `ExportError` when Vulkan takes nothing of the stage.
    """
    half = options is not None and options.precision == "fp16"
    with quiet(), deferred_weights():
        program = convert(stage, half).to_executorch()
        delegation = inspect(program, stage.name)
        if delegation.delegates == 0:
            raise ExportError(f"{stage.name}: expected a program on Vulkan, got {delegation.undelegated} undelegated")
        path = folder / f"{stage.name}.pte"
        with path.open("wb") as file:
            program.write_to_file(file)
    write_signature(path, stage, delegation, force_fp16=half)
    return path.name


@torch.no_grad()
def convert(stage: ExportStage, half: bool = False) -> EdgeProgramManager:
    """The stage with everything that Vulkan takes in delegates."""
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    program = edge_program(stage, half)
    # Textures of up to 2048 positions a side are what every GPU has; what is larger becomes a buffer.
    compile_options = {"small_texture_limits": True, "force_fp16": half}
    with quick_passes(), mended_passes():
        return to_edge_transform_and_lower({stage.name: program}, partitioner=[VulkanPartitioner(compile_options)])


@torch.no_grad()
def edge_program(stage: ExportStage, half: bool = False) -> ExportedProgram:
    """The rewritten stage in the operations that the partitioner sees; torch can run it."""
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import ops_not_to_decompose

    program = torch.export.export(own_storage(rewrite(stage.module)), (), stage.example())
    table = _default_decomposition_table()
    for operation in ops_not_to_decompose:
        table.pop(operation, None)
    if half:
        for node in program.graph.find_nodes(op="call_function", target=GELU):
            node.kwargs = {**node.kwargs, "approximate": "tanh"}  # what Vulkan computes, said
    else:
        table[GELU] = gelu
    return program.run_decompositions(table)


def own_storage(module: nn.Module) -> nn.Module:
    """The module, with a copy of each tensor that is a part of a larger one: upstream writes the larger one whole."""
    for child in module.modules():
        for name, parameter in child._parameters.items():
            if parameter is not None and _is_part(parameter):
                child._parameters[name] = nn.Parameter(_copied(parameter), requires_grad=False)
        for name, buffer in child._buffers.items():
            if buffer is not None and _is_part(buffer):
                child._buffers[name] = _copied(buffer)
    return module


def _is_part(tensor: Tensor) -> bool:
    return tensor.untyped_storage().nbytes() != tensor.nbytes


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)


@contextmanager
def mended_passes() -> Iterator[None]:
    """Within it, two of upstream's steps do nothing.

    None of its patterns is looked for: they are of language models and of quantised operations, and for those of rotary
    embeddings it exports a dozen modules, twice.  And no input of GELU is squeezed: that pass hands the arguments of
    GELU on to the view, which refuses them.
    """
    from executorch.backends.vulkan import patterns
    from executorch.backends.vulkan._passes import SqueezeUnsqueezeInputs

    with (
        patch.object(patterns, "fusable_patterns", {}),
        patch.object(SqueezeUnsqueezeInputs, "_squeezable_ops", frozenset[object]()),
    ):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep from the user's terminal what Vulkan's modules tell of every operation.

    They turn the root logger up when they are imported, which is therefore done within.
    """
    root = logging.getLogger()
    level = root.level
    try:
        root.setLevel(logging.ERROR)
        from executorch.backends.vulkan.partitioner import vulkan_partitioner  # noqa: F401

        root.setLevel(logging.ERROR)
        yield
    finally:
        root.setLevel(level)
