"""Whole training runs, from settings and folders to files: what the commands `train ...` call."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from pathlib import Path

import torch

from mobile_diffusion.atomic import write_bytes
from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model, save_checkpoint
from mobile_diffusion.config import AutoencoderConfig, BertConfig
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.data import Sample
from mobile_diffusion.errors import CheckpointError, DataError
from mobile_diffusion.formats.stored import Build
from mobile_diffusion.presets import MINILM, preset
from mobile_diffusion.text_encoder import build_text_encoder
from mobile_diffusion.tokenizer import WordPieceTokenizer
from mobile_diffusion.training import workers
from mobile_diffusion.training.autoencoder import AutoencoderTask, choose_samples
from mobile_diffusion.training.latents import encode_images, prepare_inputs
from mobile_diffusion.training.loop import STATE, average_in, train
from mobile_diffusion.training.settings import AutoencoderSettings, UNetSettings
from mobile_diffusion.training.state import load_average
from mobile_diffusion.training.unet import UNetTask, family_weights
from mobile_diffusion.unet import UNet
from mobile_diffusion.weights import check_weights, load_weights, save_weights

LOGGER = logging.getLogger(__name__)
RESULT = "autoencoder.json"


def choose_device() -> torch.device:
    """CUDA when there is one, the GPU that torchrun gives this process, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


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
    """A model with a fresh U-Net and a trained autoencoder; text encoder and tokenizer of a checkpoint folder."""
    torch.manual_seed(settings.loop.seed)
    parts = {"unet": settings.unet, "autoencoder": trained.config, "text": text_config}
    config = dataclasses.replace(preset("emoji"), **parts, schedule=settings.schedule)  # type: ignore[arg-type]
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
    """Train, then write the whole model as a checkpoint to `out` (when given), replacing one that is there.

    The first weights are random, or with `start` the averaged weights that another run has reached.
    """
    trained = open_autoencoder(autoencoder)
    model = open_untrained(settings, trained, text)
    if start is not None:
        load_average(model.unet, start / STATE)
    samples = choose_groups(choose_samples(data, settings.styles, "train"), settings.groups)
    for part in (model.text_encoder, model.autoencoder, model.unet):
        part.to(choose_device())
    inputs = prepare_inputs(samples, trained, model.tokenizer, model.text_encoder, run)
    task = UNetTask(settings, model, inputs, family_weights(samples, settings.family_power))
    state = train(task, run)
    average_in(state)
    if out is not None and workers.is_first():
        save_checkpoint(model, out, overwrite=out.exists())


def choose_groups(samples: list[Sample], groups: tuple[str, ...]) -> list[Sample]:
    """Samples of the named groups, all for none; raises `DataError` when a group has no sample."""
    for group in groups:
        if not any(sample.group == group for sample in samples):
            known = ", ".join(sorted({sample.group for sample in samples}))
            raise DataError(f"groups: expected some of {known}, got {group!r}; mend the settings")
    return [sample for sample in samples if not groups or sample.group in groups]


def _write_json(values: object, path: Path) -> None:
    write_bytes((json.dumps(values, indent=2) + "\n").encode(), path)
