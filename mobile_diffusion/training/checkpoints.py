"""Checkpoints that are trained on: opened where the work is done, with the inputs of their pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol

from torch import Tensor

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.data import Sample
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.training.autoencoder import choose_samples
from mobile_diffusion.training.latents import TrainingInputs, prepare_inputs
from mobile_diffusion.training.runs import choose_device, choose_groups
from mobile_diffusion.training.unet import family_weights


class Chosen(Protocol):
    """The part of a run's settings that says which pictures are trained on."""

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
    parts = {name: getattr(model, name).to(device) for name in ("text_encoder", "unet", "autoencoder")}
    return dataclasses.replace(model, **parts)


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
