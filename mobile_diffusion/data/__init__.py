"""The emoji data set: pictures in seven styles with captions, split into training and held-out by concept family."""

from __future__ import annotations

from mobile_diffusion.data.dataset import Sample, captions, load_dataset, load_image
from mobile_diffusion.data.emoji_packages import STYLES, choose_styles
from mobile_diffusion.data.licences import LICENCES, licence_summary
from mobile_diffusion.data.preparation import prepare

__all__ = [
    "LICENCES",
    "STYLES",
    "Sample",
    "captions",
    "choose_styles",
    "licence_summary",
    "load_dataset",
    "load_image",
    "prepare",
]
