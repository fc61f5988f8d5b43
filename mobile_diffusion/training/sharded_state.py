"""The state of a run whose network is sharded: a folder of safetensors files, which all processes write together.

    RUN/state-000000400/shard-00001-model-00001-of-00001.safetensors, shard-00002-...

torch.distributed.checkpoint writes each process's own part and reads any part back, so a run can resume with another
number of processes.  The folder gets its name when it is complete, and only then is the previous one removed: a kill at
any moment leaves the last complete state.  All processes must see the same file system.
"""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from mobile_diffusion.errors import TrainingError
from mobile_diffusion.training import workers
from mobile_diffusion.training.state import MOMENTS, TrainState, named_tensors

SCRATCH = ".state.partial"
BROKEN = (CheckpointException, SafetensorError, KeyError, ValueError, RuntimeError, OSError)


def newest_state(run: Path) -> Path | None:
    """The folder of a run's last complete state, or None."""
    return max(run.glob("state-*"), default=None)


def save_sharded(state: TrainState, run: Path) -> None:
    """Write a state into the run's folder in place of the previous one; all processes call it together."""
    scratch, folder = run / SCRATCH, run / f"state-{state.step:09d}"
    if workers.is_first():
        shutil.rmtree(scratch, ignore_errors=True)
    workers.wait()
    tensors = {**named_tensors(state), "step": torch.tensor(state.step)}
    save(tensors, storage_writer=HuggingFaceStorageWriter(str(scratch), save_distributed=True))
    workers.wait()
    if workers.is_first():
        os.replace(scratch, folder)
        for old in run.glob("state-*"):
            if old != folder:
                shutil.rmtree(old)
    workers.wait()


def load_sharded(state: TrainState, folder: Path) -> None:
    """Fill `state` from a folder that any number of processes wrote; all processes call it together.

    Raises `TrainingError` when the folder is not a complete state of this module.
    """
    try:
        stored = _stored(folder)
        wanted = {**named_tensors(state), "step": torch.tensor(0)}
        for name, value in state.module.named_parameters():
            if f"exp_avg.{name}" in stored:
                moments = {moment: torch.zeros_like(value) for moment in MOMENTS}
                state.optimizer.state[value] = {"step": torch.tensor(0.0), **moments}
        wanted |= named_tensors(state)
        _check_whole(wanted, stored)
        load(wanted, storage_reader=HuggingFaceStorageReader(str(folder)))
        state.step = int(wanted["step"])
    except BROKEN as error:
        raise _refusal(folder, error) from None


@torch.no_grad()
def load_sharded_average(module: nn.Module, folder: Path) -> None:
    """Give an unsharded `module` the averaged weights of a sharded run; raises `TrainingError` when they do not fit."""
    wanted = {f"average.{name}": value.detach() for name, value in module.named_parameters()}
    try:
        _check_whole(wanted, _stored(folder))
        load(wanted, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    except BROKEN as error:
        raise _refusal(folder, error) from None


def _stored(folder: Path) -> dict[str, TensorStorageMetadata]:
    """Sizes and parts of the tensors in a folder."""
    metadata = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {name: each for name, each in metadata.items() if isinstance(each, TensorStorageMetadata)}


def _check_whole(wanted: dict[str, Tensor], stored: dict[str, TensorStorageMetadata]) -> None:
    """Raise ValueError unless every tensor is stored with its shape and no part is missing."""
    for name, value in wanted.items():
        shape = tuple(stored[name].size)
        parts = sum(math.prod(chunk.sizes) for chunk in stored[name].chunks)
        if shape != tuple(value.shape) or parts != value.numel():
            raise ValueError(f"{parts} values of shape {shape} for {name} of shape {tuple(value.shape)}")


def _refusal(folder: Path, error: BaseException) -> TrainingError:
    reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return TrainingError(
        f"{folder}: expected a whole training state of this module, got {reason}; delete the folder to start again"
    )
