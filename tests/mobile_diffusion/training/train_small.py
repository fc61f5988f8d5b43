"""A small U-Net trained for a few steps, as one of several processes: RUN STEPS [KILL_RANK KILL_STEP]."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[3]))

from mobile_diffusion.training import workers
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.loop import train
from mobile_diffusion.training.settings import LoopSettings, UNetSettings
from mobile_diffusion.training.unet import UNetTask
from mobile_diffusion.training.workers import WHOLE, Part
from mobile_diffusion.unet import UNet
from tests.conftest import TINY

BATCH = 4


def inputs() -> TrainingInputs:
    """Five pictures with two captions each."""
    generator = torch.Generator().manual_seed(2)
    return TrainingInputs(
        latents=torch.randn(5, *TINY.latent_shape[1:], generator=generator),
        contexts=torch.randn(11, *TINY.context_shape[1:], generator=generator).half(),
        first_caption=1 + 2 * torch.arange(5),
        caption_count=torch.full((5,), 2),
    )


class Model:
    """The part of a model that the task wants."""

    def __init__(self) -> None:
        torch.manual_seed(7)
        self.unet = UNet(TINY.unet)


class Killed(UNetTask):
    """A task whose process dies before a step."""

    rank = step = -1

    def loss(self, step: int, generator: torch.Generator, part: Part = WHOLE) -> torch.Tensor:
        if step == self.step and workers.rank() == self.rank:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(step, generator, part)


def task_of(steps: int, accumulate: int = 1) -> Killed:
    """The task, the same in every process."""
    loop = LoopSettings(
        steps=steps,
        batch=BATCH,
        learning_rate=1e-3,
        warmup=1,
        accumulate=accumulate,
        bfloat16=False,
        save_every=2,
        log_every=1,
        sheet_every=1000,
    )
    settings = UNetSettings(TINY.unet, loop, ("3d",), TINY.schedule)
    return Killed(settings, Model(), inputs(), torch.ones(5, dtype=torch.float64))  # type: ignore[arg-type]


def main(words: list[str]) -> None:
    """Train into a folder."""
    torch.set_num_threads(1)
    workers.join()
    task = task_of(int(words[1]))
    task.rank, task.step = map(int, words[2:] or (-1, -1))
    train(task, Path(words[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
