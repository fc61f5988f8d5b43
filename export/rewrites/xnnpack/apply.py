"""Lists the rewrites by name and applies them to a copy of a module that shares its weights."""

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
    """Returns the module that replaces another, or None if the rewrite does not apply."""
    kind: type[nn.Module]
    """The class of the replacement, by which the rewrite is recognized in an exported program."""


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
"""The rewrites by name, in the order in which they are tried on a module; children come before their parents."""


def rewrite(module: nn.Module, names: Iterable[str] = tuple(REWRITES)) -> nn.Module:
    """Return a copy of `module` with the named rewrites applied; the copy shares the weights.

    Raises `KeyError` for a name that is not in REWRITES.
    """
    chosen = [REWRITES[name].replace for name in names]

    def replacement(child: nn.Module) -> nn.Module | None:
        result = None
        for replace in chosen:
            result = replace(child if result is None else result) or result
        return result

    return replaced(module, replacement)


def count_rewrites(program: ExportedProgram) -> dict[str, int]:
    """Return how often each rewrite occurs in an exported program, without those that do not occur."""
    stacks = [node.meta.get("nn_module_stack") or {} for node in program.graph.nodes]
    kinds = {path: str(getattr(kind, "__qualname__", kind)) for stack in stacks for path, kind in stack.values()}
    names = [kind.rpartition(".")[2] for kind in kinds.values()]
    counts = {name: names.count(found.kind.__name__) for name, found in REWRITES.items()}
    return {name: count for name, count in counts.items() if count}
