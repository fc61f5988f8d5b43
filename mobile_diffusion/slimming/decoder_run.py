"""A whole slimming of a decoder, from settings and folders to a checkpoint: what `train decoder` calls."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import save_checkpoint
from mobile_diffusion.data import captions
from mobile_diffusion.slimming.decoder_task import DecoderTask
from mobile_diffusion.slimming.latents import prepare_latents
from mobile_diffusion.slimming.settings import DecoderSettings
from mobile_diffusion.training import workers
from mobile_diffusion.training.checkpoints import chosen_samples, open_placed
from mobile_diffusion.training.loop import average_in, train


def slim_decoder(settings: DecoderSettings, data: Path, model: Path, run: Path, out: Path) -> float:
    """Write the checkpoint `model` with a slim decoder to `out`; gives its PSNR in dB to the full one's pictures.

    Raises ConfigError for an autoencoder or a share that cannot be slimmed, TrainingError as the loop does.
    """
    opened = open_placed(model)
    full = opened.autoencoder
    assert isinstance(full, Autoencoder)  # open_placed
    samples = chosen_samples(settings, data)
    texts = [captions(sample)[0] for sample in samples]
    count, batch = settings.latents + settings.held_out, settings.sampling_batch
    latents = prepare_latents(opened, texts, count, batch, settings.loop.seed, run)
    task = DecoderTask(settings, full, latents[: settings.latents], latents[settings.latents :])
    state = train(task, run)
    average_in(state)
    with torch.no_grad():
        quality = task.held_out_psnr()
    config = dataclasses.replace(opened.config, autoencoder=task.slim.config)
    result = dataclasses.replace(opened, config=config, autoencoder=task.slim)
    if workers.is_first():
        save_checkpoint(result, out, overwrite=out.exists())
    return quality
