"""Checkpoints that are trained on: opened where the work is done, with the inputs of their pictures."""

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
from mobile_diffusion.training import workers
from mobile_diffusion.training.autoencoder import choose_groups, choose_samples
from mobile_diffusion.training.batches import Memory, SampleSource
from mobile_diffusion.training.latents import TrainingInputs, prepare_inputs
from mobile_diffusion.training.loop import average_in
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sharding import whole
from mobile_diffusion.training.shards import INDEX
from mobile_diffusion.training.state import TrainState
from mobile_diffusion.training.stream import open_stream
from mobile_diffusion.training.unet import family_weights
from mobile_diffusion.training.workers import choose_device

LAYOUT = torch.channels_last
"""Of convolutions' weights: in the other one, bfloat16 training on a CPU takes half as long again."""


class Chosen(Protocol):
    """The part of a run's settings that says which pictures are trained on."""

    @property
    def loop(self) -> LoopSettings:
        """Its seed gives a stream its order."""

    @property
    def styles(self) -> tuple[str, ...]:
        """Styles, such as "3d"."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of concepts; () for all."""


def open_placed(folder: Path) -> Model:
    """A checkpoint with its networks on the device of the work.

    Raises ConfigError for an autoencoder that does not encode as the training wants it.
    """
    model, device = open_checkpoint(folder), choose_device()
    if not isinstance(model.autoencoder, Autoencoder):
        raise ConfigError(f"{folder}: expected an autoencoder of kind 'kl', got a tiny one; train with the full one")
    parts = {name: getattr(model, name).to(device, memory_format=LAYOUT) for name in ("unet", "autoencoder")}
    return dataclasses.replace(model, text_encoder=model.text_encoder.to(device), **parts)


def chosen_samples(settings: Chosen, data: Path) -> list[Sample]:
    """The training pictures of the settings; DataError when a style or a group has none."""
    return choose_groups(choose_samples(data, settings.styles, "train"), settings.groups)


def training_inputs(
    model: Model, settings: Chosen, family_power: float, data: Path, run: Path
) -> tuple[TrainingInputs, Tensor]:
    """The inputs of the settings' pictures, kept in the run's folder, and how often each is chosen, (N,)."""
    assert isinstance(model.autoencoder, Autoencoder)  # open_placed
    samples = chosen_samples(settings, data)
    inputs = prepare_inputs(samples, model.autoencoder, model.tokenizer, model.text_encoder, run)
    return inputs, family_weights(samples, family_power)


def training_source(model: Model, settings: Chosen, family_power: float, data: Path, run: Path) -> SampleSource:
    """The pictures of a data set, encoded and held in memory, or those of a folder of shards.

    Pictures of shards come once an epoch each, without weights.  Raises ConfigError for shards of other networks.
    """
    if (data / INDEX).exists():
        return open_stream(data, model, settings.styles, settings.groups, settings.loop.seed)
    return Memory(*training_inputs(model, settings, family_power, data, run))


def save_trained(state: TrainState, model: Model, out: Path) -> None:
    """Write a model with the run's averaged U-Net, whole, to `out`, replacing one that is there.

    All processes call it together, and the first one writes; the network in training keeps the average.
    """
    average_in(state)
    unet = whole(model.unet)
    if workers.is_first():
        save_checkpoint(dataclasses.replace(model, unet=unet), out, overwrite=out.exists())
