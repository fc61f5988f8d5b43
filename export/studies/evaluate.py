"""Evaluates the pictures of a checkpoint or of a bundle: `mobile_diffusion.quality` with an artist of either kind."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.artists.artist import Artist, open_artist
from export.bundle.bundle import open_bundle
from export.bundle.manifest_parts import MANIFEST
from export.latency.measure import read_conditions
from mobile_diffusion.checkpoint import source_hash
from mobile_diffusion.data import load_dataset
from mobile_diffusion.data.dataset import DATASET
from mobile_diffusion.drawing import draw
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.progress import Progress, part_of
from mobile_diffusion.quality.decoder_quality import Reconstruct
from mobile_diffusion.quality.evaluation import Evaluation, EvaluationSettings, evaluate, load_pictures
from mobile_diffusion.quality.images import Picture
from mobile_diffusion.quality.output import write_evaluation
from mobile_diffusion.quality.packaged import sha256_of
from mobile_diffusion.quality.prompts import prompt_sets, read_training
from mobile_diffusion.quality.report import Networks
from mobile_diffusion.shipped import shipped_model
from mobile_diffusion.tiles import decode_picture, encode_picture
from mobile_diffusion.training.lpips import load_lpips

TRAINING = Path("training/unet-settings.json")
"""Below a checkpoint: the settings its U-Net was trained with."""


class TimedDrawer:
    """Draws with an artist and records how long each picture took."""

    def __init__(self, artist: Artist, guidance: float | None) -> None:
        self.artist, self.guidance = artist, guidance
        self.seconds: list[float] = []

    def __call__(self, prompt: str, seed: int, /) -> Picture:
        artist, start = self.artist, time.perf_counter()
        picture = draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, seed, self.guidance)
        self.seconds.append(time.perf_counter() - start)
        return picture


def evaluate_model(
    model: str,
    options: OpenOptions,
    data: Path,
    out: Path,
    settings: EvaluationSettings,
    training: Path | None,
    weights: Path,
    runtime: str | None,
    threads: int,
    progress: Progress,
) -> tuple[Evaluation, dict[str, Any], list[Path]]:
    """Draw, measure and write; returns the figures, their conditions and the files.

    Raises ConfigError when the extra `quality` is missing or the training data of the model is not known, DataError
    for the data set, and what opening the model raises.
    """
    torch.set_num_threads(threads)
    progress("opening the model", 0.0)
    trained = read_training(training or find_training(model))
    sets = prompt_sets(load_dataset(data), trained, settings.count, settings.seed)
    networks = Networks.open()
    bundle = Path(model) if is_bundle(model) else None
    artist = open_artist(model, bundle, options, runtime, threads)
    way = reconstruction(artist, load_pictures(sets[0].references[:1]).shape)
    conditions = {
        "model": model,
        "source_sha256": source_of(model),
        "drawn_by": artist.title,
        "steps": artist.settings.steps,
        "guidance": artist.settings.guidance if options.guidance is None else options.guidance,
        "trained_on": {"styles": trained.styles, "groups": trained.groups},
        "data_sha256": sha256_of(data / DATASET),
        "settings": asdict(settings),
        "machine": {**asdict(read_conditions()), "threads": threads, "torch": torch.__version__},
    }
    drawer = TimedDrawer(artist, None if bundle is None else options.guidance)
    decoder = None if way is None else (way, load_lpips(weights))
    evaluation, drawn = evaluate(drawer, sets, networks, settings, part_of(progress, 0.0, 0.99), decoder)
    conditions["seconds_per_picture"] = round(float(np.median(drawer.seconds)), 3)
    progress("writing", 0.99)
    return evaluation, conditions, write_evaluation(evaluation, drawn, conditions, out)


def is_bundle(model: str) -> bool:
    """Whether `model` is the folder of a bundle."""
    return (Path(model) / MANIFEST).is_file()


def source_of(model: str) -> str:
    """Hash of the checkpoint, or of the checkpoint that a bundle was made from."""
    return open_bundle(Path(model)).manifest.model.source_sha256 if is_bundle(model) else source_hash(model)


def find_training(model: str) -> Path:
    """Return the training settings: those in the model's folder, or for a bundle of the emoji model, that model's.

    Raises ConfigError when there are none.
    """
    own = Path(model) / TRAINING
    if own.is_file():
        return own
    shipped = shipped_model() / TRAINING
    if is_bundle(model) and shipped.is_file() and source_of(model) == source_hash(shipped_model()):
        return shipped
    raise ConfigError(f"{model}: expected training settings in it, got none; give them with --training")


def reconstruction(artist: Artist, shape: Sequence[int]) -> Reconstruct | None:
    """A function that encodes and decodes pictures of `shape` (1, 3, H, W); None if the artist does not take them."""
    if not artist.images or tuple(artist.settings.image_shape) != tuple(shape):
        return None

    def reconstruct(image: Tensor) -> Tensor:
        latents = encode_picture(artist.run_stage, artist.settings, image.numpy())
        return torch.from_numpy(decode_picture(artist.run_stage, artist.settings, latents)).clamp(0, 1)

    return reconstruct
