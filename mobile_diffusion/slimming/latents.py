"""Synthetic latents: what a model's own sampler makes of captions, in batches, kept on disk.

A slim decoder is trained on them and not on encoded photographs, because they are what it will be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.sampler import advance, combine_guidance
from mobile_diffusion.schedule import step_table
from mobile_diffusion.staging import staged_file
from mobile_diffusion.training import workers
from mobile_diffusion.training.latents import encode_captions

CACHE = "latents.safetensors"


@torch.inference_mode()
def sample_latents(model: Model, contexts: Tensor, null: Tensor, generator: torch.Generator) -> Tensor:
    """Latents float32 (B, C, h, w) of contexts (B, L, D) in the schedule's steps and guidance; null is (1, L, D).

    Raises ConfigError for a schedule whose steps need memory, noise or scaled inputs.
    """
    table, schedule, unet = step_table(model.config.schedule), model.config.schedule, model.unet
    if table.memory or table.stochastic or set(table.inputs) != {1.0}:
        raise ConfigError(f"solver: expected 'ddim' to sample latents with, got {schedule.solver!r}")
    device = next(unet.parameters()).device
    latents = torch.randn(len(contexts), *model.config.latent_shape[1:], generator=generator).to(device)
    contexts, null = contexts.to(device), null.to(device).expand_as(contexts)
    scale = torch.full((len(contexts),), schedule.guidance, device=device) if unet.config.guidance_width else None
    for step, time in enumerate(table.timesteps):
        times = torch.full((len(contexts),), time, device=device)
        if schedule.guidance_kind == "cfg":
            both = unet(latents.repeat(2, 1, 1, 1), times.repeat(2), torch.cat([null, contexts]))
            without, conditional = both.chunk(2)
            output = combine_guidance(without, conditional, schedule.guidance)
        else:
            output = unet(latents, times, contexts, scale)
        (latents,) = advance(table, step, [latents], output)
    return latents.cpu()


def prepare_latents(model: Model, texts: Sequence[str], count: int, batch: int, seed: int, run: Path) -> Tensor:
    """Latents float32 (count, C, h, w) of texts in turn, or those of an earlier start of the same run."""
    cache = run / CACHE
    if not cache.exists() and workers.is_first():
        contexts, parts = encode_captions(model.tokenizer, model.text_encoder, ["", *texts]), []
        for start in track(range(0, count, batch), "latents"):
            rows = 1 + torch.arange(start, min(start + batch, count)) % (len(contexts) - 1)
            generator = torch.Generator().manual_seed((seed << 32) + start)
            parts.append(sample_latents(model, contexts[rows].float(), contexts[:1].float(), generator))
        run.mkdir(parents=True, exist_ok=True)
        with staged_file(cache) as scratch:
            save_file({"latents": torch.cat(parts)}, scratch)
    workers.wait()
    return load_file(cache)["latents"]
