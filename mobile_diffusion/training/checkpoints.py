"""Checkpoints in training: opened on the training device, fed with encoded pictures, and saved at the end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.data import Sample
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.training import workers
from mobile_diffusion.training.batches import Memory, SampleSource, family_weights
from mobile_diffusion.training.images import choose_groups, choose_samples
from mobile_diffusion.training.latents import TrainingInputs, prepare_inputs
from mobile_diffusion.training.loop import average_in
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sharding import whole
from mobile_diffusion.training.shards import INDEX
from mobile_diffusion.training.state import TrainState
from mobile_diffusion.training.stream import open_stream
from mobile_diffusion.training.workers import choose_device

ENCODED = 0.05
"""Progress of a recipe when the pictures and captions are encoded."""
LAYOUT = torch.channels_last
"""Memory layout of convolution weights: with the default one, bfloat16 training on a CPU takes half as long again."""


class ChosenPictures(Protocol):
    """The part of a recipe's settings that says which pictures are used."""

    @property
    def styles(self) -> tuple[str, ...]:
        """Styles, such as "3d"."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of concepts; () for all."""


class Chosen(ChosenPictures, Protocol):
    """The part of a recipe's settings that says which pictures and captions are used, and in which order."""

    @property
    def loop(self) -> LoopSettings:
        """Its seed determines the order of a stream."""

    @property
    def typed_captions(self) -> bool:
        """Whether the label is said as people type it."""


def open_placed(folder: Path) -> Model:
    """A checkpoint with its networks on the training device.

    Raises CheckpointError as `open_checkpoint` does, ConfigError for a tiny autoencoder or a U-Net that reads
    a picture, which training cannot use.
    """
    model, device = open_checkpoint(folder), choose_device()
    model.config.require_text_alone(str(folder))
    if not isinstance(model.autoencoder, Autoencoder):
        raise ConfigError(f"{folder}: expected an autoencoder of kind 'kl', got a tiny one; train with the full one")
    parts = {name: getattr(model, name).to(device, memory_format=LAYOUT) for name in ("unet", "autoencoder")}
    return dataclasses.replace(model, text_encoder=model.text_encoder.to(device), **parts)


def chosen_samples(settings: ChosenPictures, data: Path) -> list[Sample]:
    """The training pictures that the settings choose; raises DataError when a style or a group has none."""
    return choose_groups(choose_samples(data, settings.styles, "train"), settings.groups)


def training_inputs(
    model: Model, settings: Chosen, family_power: float, data: Path, run: Path, progress: Progress = silent
) -> tuple[TrainingInputs, Tensor]:
    """The encoded pictures of the settings, kept in the run's folder, and the weight of each, (N,)."""
    assert isinstance(model.autoencoder, Autoencoder)  # open_placed
    samples = chosen_samples(settings, data)
    networks = (model.autoencoder, model.tokenizer, model.text_encoder)
    inputs = prepare_inputs(samples, *networks, run, settings.typed_captions, progress)
    return inputs.placed(next(model.unet.parameters()).device), family_weights(samples, family_power)


def training_source(
    model: Model, settings: Chosen, family_power: float, data: Path, run: Path, progress: Progress = silent
) -> SampleSource:
    """The pictures of a data set, encoded and kept in memory, or a stream of the shards in the folder `data`.

    A stream returns every picture once per epoch, without weights.  Raises ConfigError for shards that other networks
    encoded or whose captions are not those of the settings, DataError for a data set without the styles or groups.
    """
    if (data / INDEX).exists():
        if settings.typed_captions:
            raise ConfigError(f"{data}: expected pictures for typed_captions, got shards; turn the setting off")
        return open_stream(data, model, settings.styles, settings.groups, settings.loop.seed)
    return Memory(*training_inputs(model, settings, family_power, data, run, progress))


def save_trained(state: TrainState, model: Model, out: Path) -> None:
    """Write a model with the run's averaged U-Net as a checkpoint to `out`, replacing one that is there.

    All processes call it together, and the first one writes; afterwards the network in training holds the average.
    """
    average_in(state)
    unet = whole(model.unet)
    if workers.is_first():
        save_checkpoint(dataclasses.replace(model, unet=unet), out, overwrite=out.exists())
