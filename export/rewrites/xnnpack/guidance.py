"""Classifier-free guidance that computes the blocks before the text only once.

Both evaluations of the U-Net have the same latents.  All blocks before the first cross-attention are therefore computed
for one picture.  Its map is broadcast where it is added to a map of both, and doubled where it is concatenated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.denoise import Denoise, Hints
from export.rewrites.replacement import recast
from mobile_diffusion.sampler import combine_guidance
from mobile_diffusion.transformer import Attention
from mobile_diffusion.unet import UpLevel


class UpLevelForBoth(UpLevel):
    """A level of the decoder half whose skips may be of one picture while its map is, or becomes, of two."""

    both: Tensor
    itself: Tensor

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor, context: Tensor) -> Tensor:
        """x (B, C_in, h, w), skips of 1 or B pictures, nearest first; returns the same as `UpLevel`."""
        for index, skip in enumerate(skips):
            joined = x * self.itself if skip is x else skip  # no middle; XNNPACK cannot join a tensor to itself
            joined = joined * self.both if len(joined) < len(x) else joined
            x = self.step(index, torch.cat([x, joined], dim=1), time, context)
        for up in self.upsamplers:
            x = up(x)
        return x


class DenoiseOnce(Denoise):
    """A step of the sampler that calls the network with one picture and two contexts."""

    def _guided(
        self,
        latents: Tensor,
        time: Tensor,
        contexts: Tensor,
        pooled: Tensor | None,
        guidance: Tensor,
        hints: Hints | None = None,
    ) -> Tensor:
        predicted = self._predict(latents, time, contexts, pooled, hints)
        return combine_guidance(predicted[:1], predicted[1:], guidance)


def skip_for_both(module: nn.Module) -> nn.Module | None:
    """Return the replacement of a level of the decoder half, or None."""
    if type(module) is not UpLevel:
        return None
    result = recast(module, UpLevelForBoth)
    result.register_buffer("both", torch.ones(2, 1, 1, 1))
    result.register_buffer("itself", torch.ones(1, 1, 1, 1))
    return result


def shared_until_text(module: nn.Module) -> nn.Module | None:
    """Return the replacement of the step of the sampler if its network has cross-attention to the text, or None."""
    attends = type(module) is Denoise and any(isinstance(child, Attention) for child in module.modules())
    return recast(module, DenoiseOnce) if attends else None
