"""Spatial transformers that work on a channels-last map without moving it, and GEGLU without slices."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from export.rewrites.replacement import recast
from mobile_diffusion.adapted import AdaptedLinear
from mobile_diffusion.transformer import GatedGelu, SpatialTransformer


class TransformerInPlace(SpatialTransformer):
    """A spatial transformer that permutes its map only in the two ways that are free (executorch/layout.py)."""

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (1 or B, C, h, w), context (B, L, D) -> (B, C, h, w)."""
        hidden = self.norm(x) if self.linear else self.proj_in(self.norm(x))
        hidden = hidden.permute(0, 2, 3, 1).reshape(len(x), -1, x.shape[1])  # (B, h*w, C)
        hidden = self.proj_in(hidden) if self.linear else hidden
        for block in self.transformer_blocks:
            hidden = block(hidden, context)
        hidden = self.proj_out(hidden) if self.linear else hidden
        hidden = hidden.reshape(-1, *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)  # (B, C, h, w)
        return x + (hidden if self.linear else self.proj_out(hidden))


class TwoLayerGelu(nn.Module):
    """GEGLU whose halves are two linear layers; their weights are views of the original layer's."""

    def __init__(self, gate: GatedGelu) -> None:
        super().__init__()
        weight, bias = gate.proj.weight.detach(), gate.proj.bias.detach()
        self.value_weight, self.gate_weight = (_constant(part) for part in weight.split(gate.inner))
        self.value_bias, self.gate_bias = (_constant(part) for part in bias.split(gate.inner))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, inner)."""
        return F.linear(x, self.value_weight, self.value_bias) * F.gelu(F.linear(x, self.gate_weight, self.gate_bias))


def positions_in_place(module: nn.Module) -> nn.Module | None:
    """Return the replacement of a spatial transformer, or None."""
    return recast(module, TransformerInPlace) if type(module) is SpatialTransformer else None


def gated_by_two_layers(module: nn.Module) -> nn.Module | None:
    """Return the replacement of a GEGLU, or None; an adapter needs its layer whole."""
    plain = type(module) is GatedGelu and not isinstance(module.proj, AdaptedLinear)
    return TwoLayerGelu(module) if plain else None  # type: ignore[arg-type]


def _constant(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
