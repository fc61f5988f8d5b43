"""The stages as one ExecuTorch program, `model.pte`: a method a stage, on XNNPACK, in float32.

The modules are rewritten first (rewrites/xnnpack.py), so that each stage is one delegate and what is left outside is
the look-up of a step or token.  Beside the program lies `model.json`: its signature, because a .pte knows the order of
its inputs but not their names, and how much of every stage XNNPACK has taken.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from executorch.backends.xnnpack import xnnpack_preprocess
from executorch.backends.xnnpack._passes import XNNPACKPassManager, XNNPACKRemoveCloneOpsTransform
from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import ChannelsLastTaggedReshapePass
from executorch.backends.xnnpack._passes.convert_to_linear import ConvertToLinearPass
from executorch.backends.xnnpack._passes.decompose_cat import DecomposeConcatenate
from executorch.backends.xnnpack._passes.fuse_activation_pass import FuseActivationPass
from executorch.backends.xnnpack._passes.remove_redundant_copy_pass import RemoveRedundantCopyPass
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.utils.configs import get_transform_passes, get_xnnpack_edge_compile_config
from executorch.exir import to_edge_transform_and_lower
from executorch.exir.passes.memory_format_ops_pass import DimOrderOpsRevertPass
from torch.export import ExportedProgram

from export.executorch import PROGRAM, SIGNATURE
from export.rewrites.xnnpack import rewrite
from export.stages import ExportStage

PASSES = [
    XNNPACKRemoveCloneOpsTransform,
    DimOrderOpsRevertPass,
    ConvertToLinearPass,
    FuseActivationPass,
    DecomposeConcatenate,
    ChannelsLastTaggedReshapePass,
    RemoveRedundantCopyPass,
]
"""XNNPACK's passes, in its order, that apply to a float32 graph of our operations.  Each retraces the whole graph, so
the ten left out (batch norm, bilinear upsampling, quantisation, 1-D convolution, ...) would double the time.
`ConvertToSDPAPass` must be left out: it finds a part of our explicit attention and fails for want of a mask."""


@dataclass(frozen=True)
class Delegation:
    """How one method is divided between XNNPACK and ExecuTorch's portable kernels."""

    delegates: int
    """Subgraphs that XNNPACK runs; one is best."""
    undelegated: dict[str, int]
    """Operations outside of them, and how often each occurs."""


def lower(stages: Mapping[str, ExportStage], folder: Path) -> dict[str, str]:
    """Write `model.pte` and `model.json` into `folder`; gives each stage's file, which is the same for all."""
    programs = {name: _export(stage) for name, stage in stages.items()}
    with _quick_passes():
        edge = to_edge_transform_and_lower(
            programs,
            transform_passes=get_transform_passes(),
            partitioner=[_Partitioner()],
            compile_config=get_xnnpack_edge_compile_config(),
        )
        delegation = {name: count_delegates(edge.exported_program(name)) for name in stages}
        program = edge.to_executorch()
    with (folder / PROGRAM).open("wb") as file:
        program.write_to_file(file)
    _write_signature(stages, delegation, folder / SIGNATURE)
    return {name: PROGRAM for name in stages}


def count_delegates(program: ExportedProgram) -> Delegation:
    """What of a lowered program is delegated."""
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    names = Counter(getattr(target, "__name__", str(target)) for target in targets)
    delegates = names.pop("executorch_call_delegate", 0)
    names.pop("getitem", None)  # takes an output of a delegate; no operation at run time
    return Delegation(delegates, dict(sorted(names.items())))


def _export(stage: ExportStage) -> ExportedProgram:
    return torch.export.export(rewrite(stage.module), stage.example())


def _write_signature(stages: Mapping[str, ExportStage], delegation: Mapping[str, Delegation], path: Path) -> None:
    """Inputs in order, output and delegation of every stage."""
    signature = {
        name: {
            "inputs": [asdict(spec) for spec in stage.inputs],
            "output": asdict(stage.output),
            "delegation": asdict(delegation[name]),
        }
        for name, stage in stages.items()
    }
    path.write_text(json.dumps(signature, indent=2) + "\n", encoding="utf-8")


class _Partitioner(XnnpackPartitioner):  # type: ignore[misc]
    """XNNPACK's partitioner without its second opinion on every operation that it wants kept whole.

    Asking costs three more decompositions of each program.  The answer is yes for all that our stages contain: what
    the partitioner then does not take would be counted as undelegated.
    """

    def ops_to_not_decompose(
        self, ep: ExportedProgram
    ) -> tuple[list[torch._ops.OpOverload], Callable[[torch.fx.Node], bool] | None]:
        wanted, _ = super().ops_to_not_decompose(ep)
        present = {node.target for node in ep.graph.nodes}
        return [operation for operation in wanted if operation in present], None


@contextmanager
def _quick_passes() -> Iterator[None]:
    """Run of XNNPACK's passes only PASSES, and leave out the warnings of torch's own use of old names."""

    def few_passes(program: ExportedProgram, passes: object = None) -> XNNPACKPassManager:
        return XNNPACKPassManager(program, PASSES)

    with patch.object(xnnpack_preprocess, "XNNPACKPassManager", few_passes), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
