"""The rewrites by name, and how they are applied: one copy of a module that shares its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn
from torch.export import ExportedProgram

from export.rewrites.replacement import replaced
from export.rewrites.xnnpack.attention import (
    AttentionByParts,
    PixelAttentionByParts,
    attention_by_parts,
    pixel_attention_by_parts,
)
from export.rewrites.xnnpack.guidance import DenoiseOnce, UpLevelForBoth, shared_until_text, skip_for_both
from export.rewrites.xnnpack.norms import (
    GroupNormByConvolution,
    LayerNormByLinear,
    group_norm_by_convolution,
    layer_norm_by_linear,
)
from export.rewrites.xnnpack.positions import TransformerInPlace, TwoLayerGelu, gated_by_two_layers, positions_in_place
from export.rewrites.xnnpack.time import Columns, time_by_table
from export.rewrites.xnnpack.upsampling import (
    ConvolutionsBeforeUpsampling,
    UpsampleByBroadcast,
    UpsampledConvolution,
    convolution_before_upsampling,
    convolutions_before_upsampling,
    upsampling,
)


@dataclass(frozen=True)
class Rewrite:
    """One of the rewrites."""

    replace: Callable[[nn.Module], nn.Module | None]
    """Returns the module that replaces another, or None where it does not apply."""
    kind: type[nn.Module]
    """The class by which its work is known in an exported program."""


REWRITES: dict[str, Rewrite] = {
    "group norm by convolution": Rewrite(group_norm_by_convolution, GroupNormByConvolution),
    "layer norm by linear": Rewrite(layer_norm_by_linear, LayerNormByLinear),
    "convolution before upsampling": Rewrite(convolution_before_upsampling, UpsampledConvolution),
    "convolutions of a sequence before upsampling": Rewrite(
        convolutions_before_upsampling, ConvolutionsBeforeUpsampling
    ),
    "upsampling by broadcast": Rewrite(upsampling, UpsampleByBroadcast),
    "attention by parts": Rewrite(attention_by_parts, AttentionByParts),
    "pixel attention by parts": Rewrite(pixel_attention_by_parts, PixelAttentionByParts),
    "positions in place": Rewrite(positions_in_place, TransformerInPlace),
    "gate by two layers": Rewrite(gated_by_two_layers, TwoLayerGelu),
    "skip for both evaluations": Rewrite(skip_for_both, UpLevelForBoth),
    "shared until text": Rewrite(shared_until_text, DenoiseOnce),
    "time by table": Rewrite(time_by_table, Columns),
}
"""Name to rewrite, in the order in which a module is offered to them; what is inside a module comes before it."""


def rewrite(module: nn.Module, names: Iterable[str] = tuple(REWRITES)) -> nn.Module:
    """A copy of `module` that shares its weights, with the named rewrites applied.

    Raises `KeyError` for a name that REWRITES does not have.
    """
    chosen = [REWRITES[name].replace for name in names]

    def replacement(child: nn.Module) -> nn.Module | None:
        result = None
        for replace in chosen:
            result = replace(child if result is None else result) or result
        return result

    return replaced(module, replacement)


def count_rewrites(program: ExportedProgram) -> dict[str, int]:
    """How often each rewrite is at work in an exported program; those that are not are left out."""
    stacks = [node.meta.get("nn_module_stack") or {} for node in program.graph.nodes]
    kinds = {path: str(getattr(kind, "__qualname__", kind)) for stack in stacks for path, kind in stack.values()}
    names = [kind.rpartition(".")[2] for kind in kinds.values()]
    counts = {name: names.count(found.kind.__name__) for name, found in REWRITES.items()}
    return {name: count for name, count in counts.items() if count}
