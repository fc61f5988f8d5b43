"""Add blocks to a U-Net, each the identity until it is trained (Net2DeeperNet, Chen et al. 2016).

The result draws exactly as before.  `train robust` then teaches the new blocks, and `train evolve` removes those that
are not worth their time.  Nothing is trained here.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mobile_diffusion.checkpoint import open_checkpoint, save_checkpoint
from mobile_diffusion.presets import preset
from mobile_diffusion.slimming.growing import grow_unet
from mobile_diffusion.training.run_folder import load_run_average


def grow_checkpoint(folder: Path, name: str, out: Path, run: Path | None = None, seed: int = 0) -> tuple[int, int]:
    """Write the checkpoint `folder` with as many blocks as the named preset has to `out`.

    With `run` the weights are the average of that run, whose U-Net must be the checkpoint's.  Returns the number of
    parameters before and after.  Raises ConfigError as `grow_unet` does, TrainingError for a run of another U-Net,
    CheckpointError when `out` exists.
    """
    model = open_checkpoint(folder)
    if run is not None:
        load_run_average(model.unet, run)
    unet = grow_unet(model.unet, preset(name).unet, seed)
    config = dataclasses.replace(model.config, name=name, unet=unet.config)
    save_checkpoint(dataclasses.replace(model, config=config, unet=unet), out)
    before, after = (sum(value.numel() for value in each.parameters()) for each in (model.unet, unet))
    return before, after
