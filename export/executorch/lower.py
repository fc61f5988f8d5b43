"""Lowers a stage to an ExecuTorch program for XNNPACK, `<stage>.pte`, with one method named after the stage.

The module is rewritten first (rewrites/xnnpack), so that all of it is one delegate except for the look-up of a step or
token.  `<stage>.json` is written next to the program.  It has the signature, because a .pte stores the order of its
inputs but not their names, and it says how much of the stage XNNPACK runs and how much memory is planned outside it.
The lowering is upstream's, but faster (passes.py) and without copies of the weights (weights.py).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from executorch.backends.xnnpack.utils.configs import get_transform_passes, get_xnnpack_edge_compile_config
from executorch.exir import ExecutorchProgramManager, to_edge_transform_and_lower
from torch.export import ExportedProgram

from export.executorch.half import halve_tables, stored_in_half
from export.executorch.inspection import delegated_nodes
from export.executorch.options import XnnpackOptions
from export.executorch.passes import Partitioner, decompose, quick_passes
from export.executorch.quantize import PROGRAMS
from export.executorch.signature import Delegation, write_signature
from export.executorch.weights import deferred_weights, never
from export.mixed.names import names_of
from export.rewrites.xnnpack import count_rewrites, rewrite
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError


def lower(stage: ExportStage, folder: Path, options: XnnpackOptions | None = None) -> str:
    """Write `<stage>.pte` and `<stage>.json` into `folder`; returns the path of the program relative to `folder`.

    The weights are not copied: they must not change until this function returns.
    Raises `ExportError` if the stage cannot be lowered or XNNPACK runs no part of it.
    """
    options = options or XnnpackOptions()
    precision, names = options.precision, names_of(options.mixed_precision)
    made = PROGRAMS[precision](stage) if precision in PROGRAMS else None
    if precision == "fp16":
        stage = halve_tables(stage, names)
    exported = rewritten(stage) if made is None else made.program
    in_half = stored_in_half(stage.name, names) if precision == "fp16" else never
    with deferred_weights(in_half), delegated_nodes() as nodes:
        program = convert(stage, exported)
        delegation = inspect(program, stage.name)
        if delegation.delegates == 0:
            raise ExportError(f"{stage.name}: expected a program on XNNPACK, got {delegation.undelegated} undelegated")
        path = folder / f"{stage.name}.pte"
        with path.open("wb") as file:
            program.write_to_file(file)
    notes = {"rewrites": count_rewrites(exported), "nodes": [dict(sorted(each.items())) for each in nodes]}
    write_signature(path, stage, delegation, **notes, **({} if made is None else made.notes))
    return path.name


@torch.no_grad()
def rewritten(stage: ExportStage) -> ExportedProgram:
    """Return the stage's rewritten module as a float32 program."""
    return torch.export.export(rewrite(stage.module), (), stage.example())


@torch.no_grad()
def convert(stage: ExportStage, program: ExportedProgram | None = None) -> ExecutorchProgramManager:
    """Return the stage as an ExecuTorch program, not yet written.

    `program` is the exported graph to lower; the rewritten stage in float32 if it is None.
    """
    program = decompose(program or rewritten(stage))
    with quick_passes():
        edge = to_edge_transform_and_lower(
            {stage.name: program},
            transform_passes=get_transform_passes(),
            partitioner=[Partitioner()],
            compile_config=get_xnnpack_edge_compile_config(),
        )
        return edge.to_executorch()


def inspect(program: ExecutorchProgramManager, method: str) -> Delegation:
    """Return how much of a program's method is delegated."""
    (plan,) = (plan for plan in program.executorch_program.execution_plan if plan.name == method)
    names = count_operations(program.exported_program(method))
    delegates = names.pop("executorch_call_delegate", 0)
    return Delegation(delegates, dict(sorted(names.items())), sum(plan.non_const_buffer_sizes))


def count_operations(program: ExportedProgram) -> Counter[str]:
    """Count the operations of a lowered program by name, without those that do nothing at run time."""
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    names = Counter(getattr(node.target, "__name__", str(node.target)) for node in nodes)
    for idle in ("getitem", "alloc"):  # selects an output of a delegate; names planned memory
        names.pop(idle, None)
    return names
