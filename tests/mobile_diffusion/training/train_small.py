"""A small U-Net trained for a few steps, as one of several processes that torchrun starts."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[3]))

from mobile_diffusion.checkpoint import Model, untrained_model
from mobile_diffusion.recipes.robust import RobustSettings, RobustTask
from mobile_diffusion.recipes.unet import UNetSettings, UNetTask
from mobile_diffusion.tokenization.tokenizer import WordPieceTokenizer
from mobile_diffusion.training import workers
from mobile_diffusion.training.batches import Memory
from mobile_diffusion.training.checkpoints import save_trained
from mobile_diffusion.training.curve import CURVE
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.loop import train
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.stream import ShardStream
from mobile_diffusion.training.workers import BatchShare
from tests.tiny_models import TINY, TOKENIZER

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


def model_of() -> Model:
    """The same small model in every process."""
    torch.manual_seed(7)
    return untrained_model(TINY, WordPieceTokenizer.from_file(TOKENIZER, TINY.text.max_tokens))


def task_of(steps: int, kind: str = "unet", data: Path | None = None, **changes: Any) -> UNetTask:
    """A task of some kind, the same in every process; its pictures are in memory, or in the shards `data`."""
    given = {"warmup": 1, "bfloat16": False, "save_every": 2, "log_every": 1, "sheet_every": 1000} | changes
    settings = UNetSettings(LoopSettings(steps=steps, batch=BATCH, learning_rate=1e-3, **given), ("3d",))
    source = ShardStream(data, 0) if data else Memory(inputs(), torch.ones(5, dtype=torch.float64))
    if kind == "robust":
        return RobustTask(RobustSettings(settings, skip=0.3, whole=0.2), model_of(), source)
    return UNetTask(settings, model_of(), source)


def fail(task: Any, rank: int, step: int, fault: str) -> None:
    """Let one process die before a step ("kill"), be interrupted there, or have a loss that is no number ("nan")."""
    usual = task.loss

    def loss(now: int, generator: torch.Generator, part: BatchShare) -> Tensor:
        if now != step or workers.rank() != rank:
            return usual(now, generator, part)
        if fault == "interrupt":
            raise KeyboardInterrupt
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return usual(now, generator, part) * float("nan")

    task.loss = loss


def start(processes: int, run: Path, steps: int, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run this script under torchrun; options are those of `task_of`, and `fault`: (rank, step, what)."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *torchrun, __file__, str(run), str(steps), "--options", json.dumps(options, default=str)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)


def losses(run: Path) -> list[float]:
    """The curve of a run."""
    return [json.loads(line)["loss"] for line in (run / CURVE).read_text().splitlines()]


def main() -> None:
    """Train into a folder; a run that ends writes a checkpoint too."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--options", type=json.loads, default={})
    words = parser.parse_args()
    fault = words.options.pop("fault", None)
    data = words.options.pop("data", None)
    torch.set_num_threads(1)
    workers.join()
    task = task_of(words.steps, data=Path(data) if data else None, **words.options)
    if fault:
        fail(task, *fault)
    state = train(task, words.run)
    save_trained(state, task.model, words.run / "checkpoint")


if __name__ == "__main__":
    main()
