"""What a slim decoder learns from: latents that a model's own sampler draws, and the full decoder's pictures of them.

They are not encoded photographs, because sampled latents are what the decoder will be given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.progress import Progress, silent, tracked
from mobile_diffusion.quoting import quoted
from mobile_diffusion.sampler import advance, combine_guidance
from mobile_diffusion.schedule import step_table
from mobile_diffusion.staging import staged_file
from mobile_diffusion.training import workers
from mobile_diffusion.training.latents import check_origin, encode_captions
from mobile_diffusion.training.run_folder import room_for

CACHE = "latents.safetensors"
KEPT_BYTES = 4 << 30
"""Memory for the full decoder's pictures; those that do not fit are drawn again each time."""


@torch.inference_mode()
def sample_latents(model: Model, contexts: Tensor, null: Tensor, generator: torch.Generator) -> Tensor:
    """Latents float32 (B, C, h, w) of contexts (B, L, D), in the schedule's steps and guidance; null is (1, L, D).

    Raises ConfigError for a schedule whose steps need memory, noise or scaled inputs.
    """
    table, schedule, unet = step_table(model.config.schedule), model.config.schedule, model.unet
    if table.memory or table.stochastic or set(table.inputs) != {1.0}:
        raise ConfigError(f"solver: expected 'ddim' to sample latents with, got {quoted(schedule.solver)}")
    device = next(unet.parameters()).device
    latents = torch.randn(len(contexts), *model.config.latent_shape[1:], generator=generator).to(device)
    contexts, null = contexts.to(device), null.to(device).expand_as(contexts)
    scale = torch.full((len(contexts),), schedule.guidance, device=device) if unet.config.guidance_width else None
    for step, time in enumerate(table.timesteps):
        times = torch.full((len(contexts),), time, device=device)
        if schedule.applied_guidance == "cfg":
            both = unet(latents.repeat(2, 1, 1, 1), times.repeat(2), torch.cat([null, contexts]))
            without, conditional = both.chunk(2)
            output = combine_guidance(without, conditional, schedule.guidance)
        else:
            output = unet(latents, times, contexts, scale)
        (latents,) = advance(table, step, [latents], output)
    return latents.cpu()


def prepare_latents(
    model: Model, texts: Sequence[str], count: int, batch: int, seed: int, run: Path, progress: Progress = silent
) -> Tensor:
    """Latents float32 (count, C, h, w) of the texts, cycling through them, or those that this run drew earlier.

    Raises TrainingError when another checkpoint or other settings drew the latents of the run.
    """
    cache, drawing = run / CACHE, json.dumps([count, batch, seed, *texts]).encode()
    origin = {"checkpoint": model.source_hash, "settings": hashlib.sha256(drawing).hexdigest()}
    if cache.exists():
        check_origin(cache, origin)
    elif workers.is_first():
        contexts, parts = encode_captions(model.tokenizer, model.text_encoder, ["", *texts]), []
        for start in tracked(range(0, count, batch), "drawing latents", progress):
            rows = 1 + torch.arange(start, min(start + batch, count)) % (len(contexts) - 1)
            generator = torch.Generator().manual_seed((seed << 32) + start)
            parts.append(sample_latents(model, contexts[rows].float(), contexts[:1].float(), generator))
        run.mkdir(parents=True, exist_ok=True)
        with room_for(cache), staged_file(cache) as scratch:
            save_file({"latents": torch.cat(parts)}, scratch, origin)
    workers.wait()
    return load_file(cache)["latents"]


class FullPictures:
    """The full decoder's pictures of latents (N, C, h, w) by their index, kept in float16 in the CPU's memory.

    Each is drawn alone and in float32, so that it is the same in a resumed run, whatever batch it falls into.
    """

    def __init__(self, full: Autoencoder, latents: Tensor, limit: int = KEPT_BYTES) -> None:
        """`limit` is in bytes."""
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
