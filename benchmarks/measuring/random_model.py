"""A model of any configuration with random weights: what it costs does not depend on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from mobile_diffusion.config import ModelConfig
from mobile_diffusion.formats.checkpoint_files import builders


@dataclass(frozen=True)
class RandomModel:
    """Seeded random networks, made one at a time; biases and norms are random too, so that a missing one shows."""

    config: ModelConfig
    seed: int = 7
    """The same for every network."""

    def load_part(self, part: str) -> nn.Module:
        """One network in float32, in evaluation mode, without gradients."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.seed)
            network = builders(self.config)[part]()
            for tensor in network.parameters():
                if tensor.ndim == 1:
                    tensor.add_(torch.randn_like(tensor) * 0.1)
        return network.eval().requires_grad_(False)
