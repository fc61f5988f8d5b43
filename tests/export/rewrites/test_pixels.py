"""A picture in whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from export.rewrites.pixels import fractions, with_pixels
from export.stages import build_stage
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import ExportError
from tests.tiny_models import RandomModel


def test_it_is_the_picture_rounded_to_bytes(tiny_config: ModelConfig) -> None:
    module = build_stage(RandomModel(tiny_config), "decode_image").module
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    pixels, picture = with_pixels(module)(latents), module(latents)
    assert torch.equal(pixels, (picture * 255).round()) and pixels.max() > 200 and pixels.min() < 50
    held = pixels[0].permute(1, 2, 0).numpy().astype(np.uint8)  # (H, W, 3)
    np.testing.assert_allclose(fractions(held), picture.numpy(), atol=0.5 / 255 + 1e-6)


def test_another_module_is_refused() -> None:
    with pytest.raises(ExportError, match="expected the module of decode_image for a pixel buffer, got Identity"):
        with_pixels(nn.Identity())
