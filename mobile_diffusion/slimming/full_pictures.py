"""The full decoder's pictures of synthetic latents, which a slim decoder learns to draw: each is drawn once."""

from __future__ import annotations

import torch
from torch import Tensor

from mobile_diffusion.autoencoder import Autoencoder

KEPT_BYTES = 4 << 30
"""Memory for pictures that are kept; those that no longer fit are drawn again each time."""


class FullPictures:
    """Pictures of latents (N, C, h, w) by their index; kept in float16 in the CPU's memory.

    Each is drawn alone and in float32, so that it is the same in a resumed run, whatever batch it falls into.
    """

    def __init__(self, full: Autoencoder, latents: Tensor, limit: int = KEPT_BYTES) -> None:
        """`limit` in bytes."""
        self.full, self.latents, self.limit = full, latents, limit
        self.kept: dict[int, Tensor] = {}

    def of(self, chosen: Tensor) -> Tensor:
        """Indices int64 (B,) -> pictures float32 (B, 3, H, W), about [-1, 1], on the decoder's device."""
        pictures = torch.stack([self._picture(index).float() for index in chosen.tolist()])  # (B, 3, H, W)
        return pictures.to(next(self.full.parameters()).device)

    def _picture(self, index: int) -> Tensor:
        if (known := self.kept.get(index)) is not None:
            return known
        drawn = self._draw(self.latents[index : index + 1]).half().cpu()
        if (len(self.kept) + 1) * drawn.nbytes <= self.limit:
            self.kept[index] = drawn
        return drawn

    @torch.no_grad()
    def _draw(self, latents: Tensor) -> Tensor:
        device = next(self.full.parameters()).device
        with torch.autocast(device.type, enabled=False):
            placed = latents.to(device, memory_format=torch.channels_last)
            return self.full.to_images(placed)[0]  # (3, H, W)
