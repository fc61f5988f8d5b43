"""ExecuTorch's passes from an exported program to a .pte, without those that our graphs do not need.

A U-Net has about three thousand operations.  Upstream visits all of them about forty times, mostly to retrace the graph
after a pass that changed nothing.  With `quick_passes` the program is the same, byte for byte, in a third of the time
(tests/export/executorch/test_passes.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from executorch.backends.xnnpack import xnnpack_preprocess
from executorch.backends.xnnpack._passes import XNNPACKPassManager, XNNPACKRemoveCloneOpsTransform
from executorch.backends.xnnpack._passes.decompose_cat import DecomposeConcatenate
from executorch.backends.xnnpack._passes.fuse_activation_pass import FuseActivationPass
from executorch.backends.xnnpack._passes.remove_redundant_copy_pass import RemoveRedundantCopyPass
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir.lowered_backend_module import LoweredBackendModule
from executorch.exir.pass_base import ExportPass, _ExportPassBase
from executorch.exir.passes.dim_order_ops_registry import DimOrderOpsMap, MemoryFormatOpsMap
from executorch.exir.passes.memory_format_ops_pass import DimOrderOpsRevertPass, MemoryFormatOpsPass
from executorch.exir.passes.normalize_transpose_pass import NormalizeTransposePass
from executorch.exir.passes.prune_empty_tensors_pass import PruneEmptyTensorsPass
from executorch.exir.passes.remove_mixed_type_operators import RemoveMixedTypeOperators
from executorch.exir.passes.remove_noop_pass import RemoveNoopPass, RemoveToCopyPass
from executorch.exir.passes.replace_aten_with_edge_pass import OpReplacePass
from executorch.exir.passes.replace_broken_ops_with_function_ops_pass import ReplaceBrokenOpsWithFunctionalOpsPass
from executorch.exir.passes.scalar_to_tensor_pass import ScalarToTensorPass
from executorch.exir.passes.sym_to_tensor_pass import SymToTensorPass
from executorch.exir.program import _program
from executorch.exir.tracer import _default_decomposition_table
from torch._export.passes.replace_view_ops_with_view_copy_ops_pass import get_view_copy_of_view_op
from torch.export import ExportedProgram, ExportGraphSignature
from torch.fx import GraphModule
from torch.fx import traceback as fx_traceback
from torch.fx.passes.infra.pass_base import PassResult

from export.executorch.channels_last import ChannelsLast
from export.executorch.layout import FreePermutations, RequestLayouts

XNNPACK_PASSES = [
    XNNPACKRemoveCloneOpsTransform,
    DimOrderOpsRevertPass,
    FuseActivationPass,
    DecomposeConcatenate,
    RequestLayouts,
    ChannelsLast,
    RemoveRedundantCopyPass,
    FreePermutations,
]
"""The passes of XNNPACK that a float32 graph of our operations needs, in XNNPACK's order, together with ours
(layout.py).  Left out are, among others, those for batch norm, bilinear upsampling, quantization, 1-D convolution,
matrix products that were linear layers (ours remain linear layers) and fused attention."""

TRACED_AGAIN_FOR: dict[type[ExportPass], Container[Any]] = {
    DimOrderOpsRevertPass: MemoryFormatOpsMap,
    MemoryFormatOpsPass: DimOrderOpsMap,
}
"""Each pass with the operations that it rewrites; a graph with none of them need not be retraced."""

HOOKS = (
    *(name for name in vars(_ExportPassBase) if name.startswith("call_") and name != "call_submodule"),
    *("placeholder", "output", "on_attr", "inputs"),
)
"""Methods by which a pass changes the graph while the graph is retraced."""

REMEMBERED = ("inputs_to_parameters", "inputs_to_buffers")
"""Mappings of a program's signature that upstream rebuilds each time it asks whether a node is a weight."""


class Partitioner(XnnpackPartitioner):  # type: ignore[misc]
    """XNNPACK's partitioner without the check of each operation that it asks not to decompose.

    The check costs three more decompositions per program, and passes for every operation of our stages.  If it did not,
    the operation would be counted as undelegated.
    """

    def ops_to_not_decompose(
        self, ep: ExportedProgram
    ) -> tuple[list[torch._ops.OpOverload], Callable[[torch.fx.Node], bool] | None]:
        wanted, _ = super().ops_to_not_decompose(ep)
        present = {node.target for node in ep.graph.nodes}
        return [operation for operation in wanted if operation in present], None


class ViewsToCopies(ExportPass):  # type: ignore[misc]
    """torch's `ReplaceViewOpsWithViewCopyOpsPass`, as a pass that can be merged with others."""

    def call_operator(self, op: Any, args: Any, kwargs: Any, meta: Any) -> Any:
        """Call the operation, or its copying variant if it returns a view."""
        if op == torch.ops.aten._unsafe_view.default:
            op = torch.ops.aten.view_copy.default
        return super().call_operator(get_view_copy_of_view_op(op._schema) or op, args, kwargs, meta)


class FunctionalOperators(
    ViewsToCopies,
    NormalizeTransposePass,  # type: ignore[misc]
    ReplaceBrokenOpsWithFunctionalOpsPass,  # type: ignore[misc]
    ScalarToTensorPass,  # type: ignore[misc]
    SymToTensorPass,  # type: ignore[misc]
):
    """Five passes in one: each passes the operation to the next, and the graph is traced once."""


class EdgeOperators(RemoveMixedTypeOperators, OpReplacePass, MemoryFormatOpsPass):  # type: ignore[misc]
    """Three passes in one, like `FunctionalOperators`."""


def decompose(program: ExportedProgram) -> ExportedProgram:
    """Return the program in operations of XNNPACK and ExecuTorch; traces it once, where upstream traces it twice."""
    table = _default_decomposition_table()
    for operation in Partitioner().ops_to_not_decompose(program)[0]:
        table.pop(operation, None)
    return program.run_decompositions(table)


@contextmanager
def quick_passes() -> Iterator[None]:
    """Context manager in which `to_edge_transform_and_lower` and `to_executorch` run fewer passes.

    The program must come from `decompose`.
    """
    before = [FunctionalOperators(), RemoveNoopPass(), PruneEmptyTensorsPass(), RemoveToCopyPass(), EdgeOperators()]
    _, after = _program._get_aten_to_edge_passes(_program.EdgeCompileConfig())
    with ExitStack() as stack:
        changes: tuple[AbstractContextManager[Any], ...] = (
            patch.object(_program, "_get_aten_to_edge_passes", lambda config: (before, after)),
            patch.object(_program, "ReplaceViewOpsWithViewCopyOpsPass", lambda: _unchanged),
            patch.object(_program, "OpReplacePass", lambda: _unchanged),
            patch.object(_program, "MemoryFormatOpsPass", lambda: _unchanged),
            patch.object(ExportedProgram, "run_decompositions", _decomposed_already),
            patch.object(xnnpack_preprocess, "XNNPACKPassManager", _few_passes),
            patch.object(_ExportPassBase, "call", _trace_again_if_needed),
            patch.object(GraphModule, "recompile", _recompile_when_called),
            patch.object(fx_traceback, "NodeSource", lambda *_: None),
            patch.object(LoweredBackendModule, "original_module", property(_outputs_only)),
            patch.object(ExportGraphSignature, "replace_all_uses", _replace_and_forget),
            *(patch.object(ExportGraphSignature, name, _remembered(name)) for name in REMEMBERED),
            warnings.catch_warnings(),  # torch uses its own deprecated names
        )
        for change in changes:
            stack.enter_context(change)
        warnings.simplefilter("ignore")
        yield


def _unchanged(module: GraphModule) -> PassResult:
    """Do nothing, in place of a pass that was merged with others."""
    return PassResult(module, False)


def _few_passes(program: ExportedProgram, passes: object = None) -> XNNPACKPassManager:
    return XNNPACKPassManager(program, XNNPACK_PASSES)


_decompose = ExportedProgram.run_decompositions


def _decomposed_already(program: ExportedProgram, table: dict[Any, Any] | None = None) -> ExportedProgram:
    """Return the program unchanged.

    Upstream decomposes it with an empty table here, only to remove operations that write to their inputs.
    """
    return program if table == {} else _decompose(program, table)


_trace_again = _ExportPassBase.call


def _trace_again_if_needed(self: _ExportPassBase, module: GraphModule) -> PassResult:
    """Retrace the graph only if the pass works by retracing, or left nodes of unknown shape."""
    targets = TRACED_AGAIN_FOR.get(type(self))
    acts = (
        any(getattr(type(self), hook) is not getattr(ExportPass, hook) for hook in HOOKS)
        if targets is None
        else any(node.target in targets for node in module.graph.nodes)
    )
    if acts or any("val" not in node.meta for node in module.graph.nodes if node.op != "output"):
        return _trace_again(self, module)
    return PassResult(module, True)


_recompile = GraphModule.recompile


def _recompile_when_called(self: GraphModule) -> None:
    """Generate a graph's Python code only when the graph is called; passes interpret graphs and rarely call them."""

    def forward(module: GraphModule, *args: Any, **kwargs: Any) -> Any:
        _recompile(module)
        return module.forward(*args, **kwargs)

    self._code = ""
    type(self).forward = forward


def _outputs_only(lowered: LoweredBackendModule) -> SimpleNamespace:
    """Return the outputs of the program inside a delegate, which upstream would run to learn their shapes."""
    graph = lowered._original_exported_program.graph
    outputs = [node.meta["val"] for node in graph.output_node().args[0]]
    return SimpleNamespace(graph=graph, module=lambda: lambda *_: outputs)


def _remembered(name: str) -> property:
    """Return a property that rebuilds a mapping of the signature only after the signature changed."""
    upstream = getattr(ExportGraphSignature, name).fget

    def find(signature: ExportGraphSignature) -> Any:
        specs, known = signature.input_specs, signature.__dict__.get(f"_{name}")
        if known is None or known[0] is not specs or known[1] != len(specs):
            known = signature.__dict__[f"_{name}"] = (specs, len(specs), upstream(signature))
        return known[2]

    return property(find)


_replace_all_uses = ExportGraphSignature.replace_all_uses


def _replace_and_forget(signature: ExportGraphSignature, old: str, new: str) -> None:
    """Rename in a signature and drop the remembered mappings: its lists do not show this change."""
    for name in REMEMBERED:
        signature.__dict__.pop(f"_{name}", None)
    _replace_all_uses(signature, old, new)
