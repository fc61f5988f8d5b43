"""Guidance without doing the same twice: until the text comes in, both evaluations see the same map.

Their latents are equal, so all blocks before the first attention to the text are computed for one picture; its map
stands for both wherever it is added, and is doubled where it is joined.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.rewrites.replacement import recast
from export.stages import Denoise
from mobile_diffusion.sampler import combine_guidance
from mobile_diffusion.unet import Attention, UpLevel


class UpLevelForBoth(UpLevel):
    """A stage on the way up whose skips may be of one picture where its map is of two, or comes to be."""

    both: Tensor
    itself: Tensor

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor, context: Tensor) -> Tensor:
        """x (B, C_in, h, w), skips of 1 or B pictures, nearest first -> as `UpLevel`."""
        for index, skip in enumerate(skips):
            joined = x * self.itself if skip is x else skip  # no middle; XNNPACK does not join a tensor with itself
            joined = joined * self.both if len(joined) < len(x) else joined
            x = self.step(index, torch.cat([x, joined], dim=1), time, context)
        for up in self.upsamplers:
            x = up(x)
        return x


class DenoiseOnce(Denoise):
    """A step of the sampler that runs the network on one picture and two contexts."""

    def _guided(self, latents: Tensor, time: Tensor, both: Tensor, guidance: Tensor) -> Tensor:
        predicted = self.unet.predict(latents, time, both)  # type: ignore[operator]
        return combine_guidance(predicted[:1], predicted[1:], guidance)


def skip_for_both(module: nn.Module) -> nn.Module | None:
    """For a stage on the way up."""
    if type(module) is not UpLevel:
        return None
    result = recast(module, UpLevelForBoth)
    result.register_buffer("both", torch.ones(2, 1, 1, 1))
    result.register_buffer("itself", torch.ones(1, 1, 1, 1))
    return result


def shared_until_text(module: nn.Module) -> nn.Module | None:
    """For the step of the sampler, where its network has attention to the text."""
    attends = type(module) is Denoise and any(isinstance(child, Attention) for child in module.modules())
    return recast(module, DenoiseOnce) if attends else None
