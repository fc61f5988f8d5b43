"""The picture that a drawing starts from, and what the stages take of it.

An ordinary network redraws it from a noised beginning (SDEdit, Meng et al. 2022), where a mask keeps a part.  An
inpainting network reads the mask and the rest of the picture at every step, painted grey where it is drawn anew.  An
editing network (InstructPix2Pix, Brooks et al. 2023) reads the whole picture, and has a guidance scale for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.config import MAX_GUIDANCE
from mobile_diffusion.draw_settings import DrawSettings
from mobile_diffusion.errors import PromptError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.run_stage import Arrays, RunStage
from mobile_diffusion.tiles import encode_picture

IMAGE_GUIDANCE = 1.5
"""Scale of the guidance towards the picture, by default: that of diffusers' StableDiffusionInstructPix2PixPipeline."""
GREY = 0.5
"""Painted where a picture is drawn anew; in the autoencoder's range, -1 to 1, it is zero."""


@dataclass(frozen=True, eq=False)
class Start:
    """A picture to start from."""

    image: NDArray[np.float32]
    """(1, 3, H, W) in [0, 1]."""
    strength: float | None = None
    """Share of the steps that are made, above 0 to 1; None for 0.8, or 1 with an inpainting or an editing network."""
    mask: NDArray[np.float32] | None = None
    """(1, 1, H, W): 1 where it is drawn anew, 0 where it is kept; at strength 1 only that is left of the picture."""
    image_guidance: float | None = None
    """Guidance towards the picture by an editing network, 1 to 30; None for `IMAGE_GUIDANCE`."""


STRENGTH = 0.8
"""Share of the steps that an ordinary network makes over a picture, by default."""


def check_start(settings: DrawSettings, start: Start | None) -> int:
    """The number of steps that a drawing skips.

    Raises PromptError for a start that the network cannot use: one that is missing, of the wrong size, or with a
    strength, mask or scale that has no meaning for its task.
    """
    if start is None:
        if settings.task == "edit":
            raise PromptError("picture: expected one, as this model edits a picture, got none; give it one")
        return 0
    for name, array, channels in (("picture", start.image, 3), ("mask", start.mask, 1)):
        shape = (1, channels, *settings.image_shape[2:])
        if array is not None and array.shape != shape:
            raise PromptError(f"{name}: expected shape {shape}, got {array.shape}; resize it")
    if settings.task == "inpaint" and start.mask is None:
        raise PromptError("mask: expected one with the picture, as this model inpaints, got none; give it one")
    _check_editing(settings, start)
    default = STRENGTH if settings.task == "draw" else 1.0
    return skipped_steps(settings, default if start.strength is None else start.strength)


def _check_editing(settings: DrawSettings, start: Start) -> None:
    """Raise PromptError for what only an editing network takes, and for what it does not take."""
    scale = start.image_guidance
    if settings.task != "edit":
        if scale is not None:
            raise PromptError(f"image guidance: expected none, as this model edits no pictures, got {quoted(scale)}")
        return
    if start.mask is not None:
        raise PromptError("mask: expected none, as this model edits the whole picture, got one; leave it out")
    if start.strength not in (None, 1):
        got = quoted(start.strength)
        raise PromptError(f"strength: expected 1, as this model makes every step, got {got}; leave it out")
    if scale is not None and not 1 <= scale <= MAX_GUIDANCE:
        raise PromptError(f"image guidance: expected a number from 1 to {MAX_GUIDANCE:g}, got {quoted(scale)}")


def skipped_steps(settings: DrawSettings, strength: float) -> int:
    """The number of steps that a drawing of this strength skips; raises PromptError for a strength without steps."""
    if not 0.0 < strength <= 1.0:
        raise PromptError(f"strength: expected a number above 0 and up to 1, got {quoted(strength)}")
    steps = len(settings.starts) or settings.steps
    skipped = steps - min(int(steps * strength), steps)
    if skipped == steps:
        raise PromptError(f"strength: expected 1/{steps} or more for {steps} steps, got {strength}")
    return skipped


def clean_latents(run_stage: RunStage, settings: DrawSettings, start: Start | None, skipped: int) -> np.ndarray | None:
    """The picture as clean latents (1, C, h, w), where a drawing begins with it or keeps a part of it; else None."""
    if start is None or settings.task == "edit" or (settings.task == "inpaint" and not skipped):
        return None
    return encode_picture(run_stage, settings, start.image.astype(np.float32))


def read_picture(settings: DrawSettings, start: Start | None) -> tuple[NDArray[np.float32] | None, Arrays]:
    """The picture (1, 3, H, W) whose latents `denoise` reads at every step, None if it reads none, and the mask.

    An inpainting network without a start draws everything anew.  `mask` (1, 1, h, w) takes the upper left pixel of each
    latent's block, as diffusers' StableDiffusionInpaintPipeline.
    """
    if settings.task == "draw":
        return None, {}
    if settings.task == "edit":
        return None if start is None else start.image.astype(np.float32), {}
    shape = settings.image_shape
    image = np.full(shape, GREY, np.float32) if start is None else start.image
    mask = np.ones((1, 1, *shape[2:]), np.float32) if start is None or start.mask is None else start.mask
    return np.where(mask >= GREY, np.float32(GREY), image).astype(np.float32), {"mask": latent_mask(settings, mask)}


def picture_inputs(
    settings: DrawSettings,
    latents: np.ndarray | None,
    mask: Arrays,
    guidance: float,
    image_guidance: float | None = None,
) -> dict[str, np.ndarray]:
    """The inputs of `denoise` that are of a picture: its `latents` (1, C, h, w) and `mask`, both of `read_picture`.

    `guidance` is the scale of the text's: at 1 or less, none is applied towards the picture either (diffusers).
    """
    if settings.task == "inpaint" and latents is not None:
        return {**mask, "masked_latents": latents}
    if settings.task == "edit" and latents is not None:
        scale = (IMAGE_GUIDANCE if image_guidance is None else image_guidance) if guidance > 1 else 1.0
        guided = {"image_guidance": np.array([scale], np.float32)} if settings.guidance_kind == "cfg" else {}
        return {"image_latents": latents, **guided}
    return {}


def latent_mask(settings: DrawSettings, mask: np.ndarray) -> NDArray[np.float32]:
    """A mask of pixels (1, 1, H, W) as one of latents (1, 1, h, w): the upper left pixel of each block decides."""
    (*_, height, width), (*_, rows, columns) = settings.image_shape, settings.latent_shape
    return np.ascontiguousarray(mask[..., :: height // rows, :: width // columns], np.float32)
