"""The guidance scale of a drawing: which scales, and which negative prompts, a model can be asked for.

A scale of 1 or less means what it means in diffusers: no guidance, the output for the prompt alone.  The formula is
`combine_guidance` (sampler.py).
"""

from __future__ import annotations

import logging
import math

import numpy as np

from mobile_diffusion.config import MAX_GUIDANCE
from mobile_diffusion.errors import PromptError
from mobile_diffusion.quoting import quoted

NULL_PROMPT = ""

logger = logging.getLogger(__name__)


def choose_guidance(kind: str, own: float, wanted: float | None = None, negative: str = NULL_PROMPT) -> float:
    """The guidance scale of a drawing: the one that is wanted, or for None the model's own.

    `kind` is that of `ScheduleConfig.applied_guidance`.  Raises PromptError for what the model cannot do.  A negative
    prompt that has no effect is a warning: diffusers ignores it, too.
    """
    scale = check_guidance(own if wanted is None else wanted)
    if kind == "distilled":
        _check_distilled(own, scale, negative)
    elif kind == "none" and scale > 1:
        raise PromptError(
            f"guidance: expected 1 or less, as this model was exported without guidance, got {scale:g}; "
            f"export it with --guidance {scale:g}"
        )
    elif negative != NULL_PROMPT and scale <= 1:
        logger.warning("negative prompt: it has no effect at guidance %g; use a guidance above 1", scale)
    return scale


def check_guidance(guidance: float) -> float:
    """Return the guidance scale, or raise PromptError unless it is a number up to 30."""
    number = isinstance(guidance, int | float | np.number) and not isinstance(guidance, bool)
    if not number or not -math.inf < float(guidance) <= MAX_GUIDANCE:
        raise PromptError(f"guidance: expected a number up to {MAX_GUIDANCE:g}, got {quoted(guidance)}")
    return float(guidance)


def _check_distilled(own: float, scale: float, negative: str) -> None:
    if negative != NULL_PROMPT:
        raise PromptError(
            f"negative prompt: expected none, as guidance is in this model's weights, got {quoted(negative)}"
        )
    if scale != own:
        raise PromptError(f"guidance: expected {own:g}, which it was distilled with, got {scale:g}")
