"""The hints of a drawing: a picture per ControlNet or T2I-Adapter, such as edges or depths, with its strength.

The stage `encode_hint` runs once per drawing; `denoise` reads what it returns, and the strengths, at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.draw_settings import DrawSettings
from mobile_diffusion.errors import PromptError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.run_stage import RunStage

MAX_HINT_SCALE = 2.0


@dataclass(frozen=True, eq=False)
class Hint:
    """What one ControlNet reads."""

    image: NDArray[np.float32]
    """(1, 3, H, W) in [0, 1]."""
    scale: float = 1.0
    """Factor of its effect, 0 to 2: 0 for none (diffusers' controlnet_conditioning_scale)."""


def check_hint_count(settings: DrawSettings, count: int) -> None:
    """Raise PromptError unless there is one hint per ControlNet."""
    if count != settings.controls:
        many = f"{settings.controls or 'no'} ControlNet{'' if settings.controls == 1 else 's'}"
        fix = "give one per ControlNet, in their order" if settings.controls else "leave it out"
        raise PromptError(
            f"hint: expected {settings.controls or 'none'}, as this model has {many}, got {count or 'none'}; {fix}"
        )


def check_hints(settings: DrawSettings, hints: Sequence[Hint]) -> None:
    """Raise PromptError unless there is one hint per ControlNet, of the picture's size, with a scale from 0 to 2."""
    check_hint_count(settings, len(hints))
    for hint in hints:
        if hint.image.shape != settings.image_shape:
            raise PromptError(f"hint: expected shape {settings.image_shape}, got {hint.image.shape}; resize it")
        if not 0 <= hint.scale <= MAX_HINT_SCALE:
            raise PromptError(f"hint scale: expected a number from 0 to {MAX_HINT_SCALE:g}, got {quoted(hint.scale)}")


def hint_inputs(run_stage: RunStage, hints: Sequence[Hint]) -> dict[str, np.ndarray]:
    """The inputs of `denoise` that are of the hints, of n ControlNets: features (n, C, h, w) and scales (n,)."""
    if not hints:
        return {}
    pictures = np.concatenate([hint.image for hint in hints]).astype(np.float32)  # (n, 3, H, W)
    features = run_stage("encode_hint", hints=pictures)["hint_features"]
    return with_scales(features, [hint.scale for hint in hints])


def with_scales(features: np.ndarray, scales: Sequence[float] | np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of `denoise` by encoded hints (n, C, h, w) and their scales (n,)."""
    return {"hint_features": features, "hint_scales": np.asarray(scales, np.float32)}
