"""A whole slimming of a decoder, from settings and folders to a checkpoint: what `train decoder` calls."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import open_checkpoint, save_checkpoint
from mobile_diffusion.data import captions
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.slimming.decoder_task import DecoderTask
from mobile_diffusion.slimming.latents import prepare_latents
from mobile_diffusion.slimming.settings import DecoderSettings
from mobile_diffusion.training.autoencoder import choose_samples
from mobile_diffusion.training.latents import encode_captions
from mobile_diffusion.training.loop import average_in, train
from mobile_diffusion.training.runs import choose_device, choose_groups


def slim_decoder(settings: DecoderSettings, data: Path, model: Path, run: Path, out: Path) -> float:
    """Write the checkpoint `model` with a slim decoder to `out`; gives its PSNR in dB to the full one's pictures.

    Raises ConfigError for an autoencoder or a share that cannot be slimmed, TrainingError as the loop does.
    """
    opened, device = open_checkpoint(model), choose_device()
    full = opened.autoencoder
    if not isinstance(full, Autoencoder):
        raise ConfigError(f"{model}: expected an autoencoder of kind 'kl', got a tiny one, which is slim already")
    for part in (opened.text_encoder, opened.unet, full):
        part.to(device)
    samples = choose_groups(choose_samples(data, settings.styles, "train"), settings.groups)
    texts = ["", *(captions(sample)[0] for sample in samples)]
    contexts = encode_captions(opened.tokenizer, opened.text_encoder, texts)
    count, batch = settings.latents + settings.held_out, settings.sampling_batch
    latents = prepare_latents(opened, contexts, count, batch, settings.loop.seed, run)
    task = DecoderTask(settings, full, latents[: settings.latents], latents[settings.latents :])
    state = train(task, run)
    average_in(state)
    with torch.no_grad():
        quality = task.held_out_psnr()
    config = dataclasses.replace(opened.config, autoencoder=task.slim.config)
    result = dataclasses.replace(opened, config=config, autoencoder=task.slim)
    save_checkpoint(result, out, overwrite=out.exists())
    return quality
