"""Whole training runs, from settings and folders to files: what the commands `train ...` call."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import torch

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import BertConfig, ScheduleConfig
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.presets import MINILM, preset
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.tensor_layout import Build
from mobile_diffusion.text_encoder import build_text_encoder
from mobile_diffusion.tokenization.tokenizer import WordPieceTokenizer
from mobile_diffusion.training import workers
from mobile_diffusion.training.autoencoder import AutoencoderTask, choose_groups, choose_samples
from mobile_diffusion.training.checkpoints import open_placed, save_trained, training_source
from mobile_diffusion.training.latents import encode_images
from mobile_diffusion.training.loop import STATE, average_in, train
from mobile_diffusion.training.settings import AutoencoderSettings, UNetSettings
from mobile_diffusion.training.sharded_state import load_sharded_average, newest_state
from mobile_diffusion.training.shards import ShardIndex, write_shards
from mobile_diffusion.training.state import load_average
from mobile_diffusion.training.unet import UNetTask
from mobile_diffusion.training.workers import choose_device
from mobile_diffusion.unet import UNet
from mobile_diffusion.weights import check_weights, load_weights, save_weights

LOGGER = logging.getLogger(__name__)
RESULT = "autoencoder.json"


@torch.no_grad()
def train_autoencoder(settings: AutoencoderSettings, data: Path, weights: Path, run: Path) -> float:
    """Train, then write `autoencoder.safetensors` and `autoencoder.json` into the run's folder.

    `weights` is the folder that LPIPS's archive is fetched into.  Returns the held-out PSNR in dB.
    """
    device = choose_device()
    with torch.enable_grad():
        task = AutoencoderTask(settings, data, weights, device)
        average_in(train(task, run))
    task.module.eval()
    latents = encode_images(task.module, task.images)
    scaling_factor = 1.0 / float(latents.std())
    quality = task.held_out_psnr()
    if workers.is_first():
        save_weights(task.module, run / "autoencoder.safetensors")
        config = {**to_dict(settings.autoencoder), "scaling_factor": round(scaling_factor, 5)}
        _write_json({"config": config, "held_out_psnr_db": round(quality, 3)}, run / RESULT)
    LOGGER.info("held-out PSNR %.2f dB over %d pictures", quality, len(task.held_out))
    return quality


def open_autoencoder(run: Path) -> Autoencoder:
    """The autoencoder that an earlier run wrote; raises `CheckpointError` when there is none."""
    try:
        config = from_dict(AutoencoderConfig, json.loads((run / RESULT).read_text())["config"])
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{run}: expected a finished autoencoder run, got {error}; train one first") from None
    return _load(lambda: Autoencoder(config), run / "autoencoder.safetensors")  # type: ignore[return-value]


def open_untrained(settings: UNetSettings, trained: Autoencoder, text: Path, text_config: BertConfig = MINILM) -> Model:
    """A model with a fresh U-Net and a trained autoencoder; text encoder and tokenizer of a checkpoint folder.

    Raises ConfigError when the settings have no U-Net.
    """
    if settings.unet is None:
        raise ConfigError("unet: expected the architecture of a new U-Net, got none; add [unet] to the settings")
    torch.manual_seed(settings.loop.seed)
    parts = {"unet": settings.unet, "autoencoder": trained.config, "text": text_config}
    schedule = settings.schedule or ScheduleConfig()
    config = dataclasses.replace(preset("emoji"), **parts, schedule=schedule)  # type: ignore[arg-type]
    text_encoder = _load(lambda: build_text_encoder(text_config), text / "text_encoder.safetensors")
    tokenizer = WordPieceTokenizer.from_file(text / "tokenizer.json", text_config.max_tokens)
    unet = UNet(settings.unet).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Model(config, tokenizer, text_encoder, unet, trained)  # type: ignore[arg-type]


def _load(build: Build, file: Path) -> torch.nn.Module:
    check_weights(build, file)
    return load_weights(build, file)


def train_unet(
    settings: UNetSettings,
    data: Path,
    autoencoder: Path,
    text: Path,
    run: Path,
    out: Path | None = None,
    start: Path | None = None,
) -> None:
    """Train, then write the whole model as a checkpoint to `out` (when given), staged_file one that is there.

    The first weights are random, or with `start` the averaged weights that another run has reached.
    """
    trained = open_autoencoder(autoencoder)
    model = open_untrained(settings, trained, text)
    if start is not None:
        folder = newest_state(start)
        if folder is not None:
            load_sharded_average(model.unet, folder)
        else:
            load_average(model.unet, start / STATE)
    for part in (model.text_encoder, model.autoencoder, model.unet):
        part.to(choose_device())
    source = training_source(model, settings, settings.family_power, data, run)
    state = train(UNetTask(settings, model, source), run)
    if out is not None:
        save_trained(state, model, out)


def make_shards(
    data: Path,
    model: Path,
    autoencoder: Path | None,
    styles: tuple[str, ...],
    groups: tuple[str, ...],
    size: int,
    out: Path,
) -> ShardIndex:
    """Encode the training pictures of a data set into shards of `size`; all processes call it together.

    The networks are those of the checkpoint `model`, the autoencoder perhaps of a run.  Raises DataError as
    `write_shards` does, and when a style or a group has no pictures.
    """
    opened = open_placed(model)
    if autoencoder is not None:
        opened = dataclasses.replace(opened, autoencoder=open_autoencoder(autoencoder).to(choose_device()))
    samples = choose_groups(choose_samples(data, styles, "train"), groups)
    return write_shards(opened, samples, styles, groups, size, out)


def _write_json(values: object, path: Path) -> None:
    write_bytes((json.dumps(values, indent=2) + "\n").encode(), path)
