"""Lowers a stage to an ExecuTorch program for a phone's GPU (Vulkan), `<stage>.pte`, with one method named after it.

The partitioner takes nearly all operations of a stage, and rewrites/vulkan.py replaces the others, so that a stage is
one delegate.  ExecuTorch has no Vulkan runtime for this computer.  The tests therefore check the program before it is
delegated (`edge_program`, which torch can run) and the content of the file, but not what a GPU computes.

With precision fp16, weights and arithmetic are in float16, including the update of the latents, and GELU is Vulkan's
tanh approximation, whose error is of the size of float16's rounding.  With fp32, GELU is exact.  Vulkan's group norm
computes the variance as E[x^2] - E[x]^2 in float32, which loses digits if the mean is much larger than the deviation.

A delegate that is compiled with `force_fp16` has no float32 at all.  If modules are named, the graph itself says which
tensors are float16 (export/mixed/casts.py).  The delegate's format has a type per tensor, its kernels exist in both
types, and it converts between them, so that a stage is still one delegate.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
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
from export.mixed.casts import in_half
from export.mixed.names import Names, names_of
from export.mixed.rounded import HalfProgram
from export.rewrites.vulkan import gelu, rewrite
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

GELU = torch.ops.aten.gelu.default


def lower(stage: ExportStage, folder: Path, options: VulkanOptions | None = None) -> str:
    """Write `<stage>.pte` and `<stage>.json` into `folder`; returns the path of the program relative to `folder`.

    Raises `ExportError` if Vulkan runs no part of the stage.
    """
    chosen = VulkanOptions() if options is None else options
    half = chosen.precision == "fp16"
    with quiet(), deferred_weights():
        program = convert(stage, half, names_of(chosen.mixed_precision)).to_executorch()
        delegation = inspect(program, stage.name)
        if delegation.delegates == 0:
            raise ExportError(f"{stage.name}: expected a program on Vulkan, got {delegation.undelegated} undelegated")
        path = folder / f"{stage.name}.pte"
        with path.open("wb") as file:
            program.write_to_file(file)
    write_signature(path, stage, delegation, force_fp16=half)
    return path.name


@torch.no_grad()
def convert(stage: ExportStage, half: bool = False, names: Names = ()) -> EdgeProgramManager:
    """Return the stage with everything that Vulkan supports in delegates; `names` stay in float32 if it is `half`."""
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    mixed = half and bool(names)
    program = typed_program(stage, names) if mixed else edge_program(stage, half)
    # Every GPU supports textures of up to 2048 positions per side; larger tensors become buffers.
    compile_options = {"small_texture_limits": True, "force_fp16": half and not mixed}
    with quick_passes(), reduced_passes(), half_in_textures() if mixed else nullcontext():
        return to_edge_transform_and_lower({stage.name: program}, partitioner=[VulkanPartitioner(compile_options)])


def half_program(stage: ExportStage) -> HalfProgram:
    """Return what float16 touches: everything, the update of the latents, too."""
    return HalfProgram(stage.name, edge_program(stage, half=True))


def typed_program(stage: ExportStage, names: Names) -> ExportedProgram:
    """Return the rewritten stage with the types of its tensors: float16, and float32 in the named modules."""
    half = half_program(stage)
    return in_half(half, half.named(names))


@torch.no_grad()
def edge_program(stage: ExportStage, half: bool = False) -> ExportedProgram:
    """Return the rewritten stage in the operations that the partitioner sees; torch can run it."""
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import ops_not_to_decompose

    program = torch.export.export(own_storage(rewrite(stage.module)), (), stage.example())
    table = _default_decomposition_table()
    for operation in ops_not_to_decompose:
        table.pop(operation, None)
    if half:
        for node in program.graph.find_nodes(op="call_function", target=GELU):
            node.kwargs = {**node.kwargs, "approximate": "tanh"}  # which Vulkan computes in any case
    else:
        table[GELU] = gelu
    return program.run_decompositions(table)


def own_storage(module: nn.Module) -> nn.Module:
    """Return the module with a copy of each tensor that is a view of a larger one, which upstream would write whole."""
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
def reduced_passes() -> Iterator[None]:
    """Context manager that disables two of upstream's steps.

    The first is the search for patterns.  They are for language models and quantized operations, and those for rotary
    embeddings export a dozen modules, twice.  The second squeezes the input of GELU: it passes GELU's arguments on to
    the view, which rejects them.
    """
    from executorch.backends.vulkan import patterns
    from executorch.backends.vulkan._passes import SqueezeUnsqueezeInputs

    with (
        patch.object(patterns, "fusable_patterns", {}),
        patch.object(SqueezeUnsqueezeInputs, "_squeezable_ops", frozenset[object]()),
    ):
        yield


@contextmanager
def half_in_textures() -> Iterator[None]:
    """Context manager that stores tensors in textures where possible, as upstream does with `force_fp16`."""
    from executorch.backends.vulkan import vulkan_preprocess
    from executorch.backends.vulkan._passes import TagMemoryMetaPass

    def tagging(limits: Any, **settings: Any) -> Any:
        return TagMemoryMetaPass(limits, **settings | {"force_fp16": True})

    with patch.object(vulkan_preprocess, "TagMemoryMetaPass", tagging):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the log lines that Vulkan's modules write for each operation off the terminal.

    These modules raise the level of the root logger on import, so import them inside this context manager.
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
