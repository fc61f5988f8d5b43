"""Teacher and student: whether they fit, how the student begins, and their velocities with and without guidance."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.sampler import combine_guidance
from mobile_diffusion.unet import UNet


def check_pair(teacher: ModelConfig, student: ModelConfig) -> None:
    """Raise ConfigError unless student and teacher have the same latents, text and process, and both predict v."""
    pairs = {
        "latent channels": (teacher.unet.in_channels, student.unet.in_channels),
        "latent shape": (teacher.latent_shape, student.latent_shape),
        "text width": (teacher.unet.context_width, student.unet.context_width),
        "tokens": (teacher.text.max_tokens, student.text.max_tokens),
        "prediction": (teacher.schedule.prediction, student.schedule.prediction),
        "beta_schedule": (teacher.schedule.beta_schedule, student.schedule.beta_schedule),
        "train_steps": (teacher.schedule.train_steps, student.schedule.train_steps),
    }
    for name, (wanted, got) in pairs.items():
        if wanted != got:
            raise ConfigError(f"student: expected the teacher's {name}, {wanted}, got {got}; choose another student")
    if teacher.schedule.prediction != "v":
        got_prediction = teacher.schedule.prediction
        raise ConfigError(f"teacher: expected prediction 'v', got {quoted(got_prediction)}; fine-tune it to v first")
    if teacher.schedule.guidance_kind != "cfg":
        raise ConfigError(
            "teacher: expected guidance by two evaluations, got distilled guidance; choose another teacher"
        )


def student_of(
    teacher: Model, initial: Model | None, *, steps: int, guidance: str, guidance_width: int, solver: str
) -> Model:
    """The student before its first step, with the weights of `initial` or else of the teacher.

    Its schedule is the teacher's with `steps` and `solver`, and with distilled guidance unless `guidance` is "cfg".
    With "embedded" a U-Net that has no guidance embedding gets one of `guidance_width` whose projection is zero, so
    that the embedding has no effect at first.  Raises ConfigError as `check_pair` does.
    """
    source = initial or teacher
    check_pair(teacher.config, source.config)
    kind = "cfg" if guidance == "cfg" else "distilled"
    schedule = dataclasses.replace(teacher.config.schedule, steps=steps, guidance_kind=kind, solver=solver)
    unet = copy.deepcopy(source.unet)
    if guidance == "embedded" and not unet.config.guidance_width:
        unet = _with_embedding(unet, guidance_width)
    config = dataclasses.replace(source.config, unet=unet.config, schedule=schedule)
    return dataclasses.replace(teacher, config=config, unet=unet.requires_grad_(True))


def _with_embedding(unet: UNet, width: int) -> UNet:
    place = {"device": next(unet.parameters()).device, "memory_format": torch.channels_last}
    result = UNet(dataclasses.replace(unet.config, guidance_width=width)).to(**place)  # type: ignore[call-overload]
    result.load_state_dict(unet.state_dict(), strict=False)
    torch.nn.init.zeros_(result.time_embedding.cond_proj.weight)
    return result


def guided_velocity(
    unet: UNet, latents: Tensor, times: Tensor, context: Tensor, null: Tensor, scale: Tensor | None
) -> Tensor:
    """w v(c) - (w - 1) v(null) in float32 (SnapFusion, CFG-aware step distillation), or v(c) when the scale is None.

    Latents (B, C, h, w), times (B,), context (B, L, D), null (1, L, D), scale (B,).
    """
    if scale is None:
        return unet(latents, times, context).float()
    both = torch.cat([latents, latents])
    contexts = torch.cat([null.expand_as(context), context])
    without, conditional = unet(both, times.repeat(2), contexts).float().chunk(2)
    return combine_guidance(without, conditional, scale[:, None, None, None])
