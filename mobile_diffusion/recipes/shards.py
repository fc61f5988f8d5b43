"""Encode a data set into shards once, for U-Net training on sets that do not fit into memory.

The format is training/shards.py; `train unet`, `robust` and `distil` read the folder in the place of a data set.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.recipes.autoencoder import open_autoencoder
from mobile_diffusion.training.checkpoints import open_placed
from mobile_diffusion.training.images import choose_groups, choose_samples
from mobile_diffusion.training.shards import ShardIndex, write_shards
from mobile_diffusion.training.workers import choose_device


def make_shards(
    data: Path,
    model: Path,
    autoencoder: Path | None,
    styles: tuple[str, ...],
    groups: tuple[str, ...],
    size: int,
    out: Path,
    progress: Progress = silent,
) -> ShardIndex:
    """Encode the training pictures of a data set into shards of `size` pictures; all processes call it together.

    The networks of the checkpoint `model` encode them, or the autoencoder of the run `autoencoder` when it is given.
    Raises DataError as `write_shards` does, and when a style or a group has no pictures.
    """
    opened = open_placed(model)
    if autoencoder is not None:
        opened = dataclasses.replace(opened, autoencoder=open_autoencoder(autoencoder).to(choose_device()))
    samples = choose_groups(choose_samples(data, styles, "train"), groups)
    return write_shards(opened, samples, styles, groups, size, out, progress)
