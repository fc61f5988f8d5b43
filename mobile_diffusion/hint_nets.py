"""The networks that read the hints of a drawing: ControlNets, or T2I-Adapters.

Several of a kind steer together: what they add to the U-Net is added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mobile_diffusion.control_net import ControlNet
from mobile_diffusion.t2i_adapter import T2IAdapter, packed
from mobile_diffusion.t2i_adapter_config import HintNet
from mobile_diffusion.unet_config import ControlConfig


class HintNets(nn.ModuleList):
    """The networks of one model."""

    def __init__(self, configs: Sequence[HintNet]) -> None:
        super().__init__(
            ControlNet(config) if isinstance(config, ControlConfig) else T2IAdapter(config) for config in configs
        )

    @property
    def control_nets(self) -> list[ControlNet]:
        """Those that are evaluated at every step."""
        return [net for net in self if isinstance(net, ControlNet)]

    def encoders(self) -> Iterator[nn.Module]:
        """What runs once per picture."""
        for net in self:
            yield net.controlnet_cond_embedding if isinstance(net, ControlNet) else net

    def encode(self, hints: Tensor, sides: tuple[int, int]) -> Tensor:
        """hints (n, 3, H, W) in [0, 1], one per network, for latents of these sides (h, w) -> (n, K, h, w)."""
        found = []
        for net, hint in zip(cast("list[ControlNet | T2IAdapter]", self), hints, strict=True):
            encoded = net.encode(hint[None]) if isinstance(net, ControlNet) else packed(net.maps(hint[None]), sides)
            found.append(encoded)
        return torch.cat(found)
