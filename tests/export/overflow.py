"""A checkpoint on the disk whose numbers float16 cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from benchmarks.checkpoints.overflow import OVERFLOWS, overflowing
from mobile_diffusion.checkpoint import Model, save_checkpoint
from tests.mobile_diffusion.checkpoints import rewrite

__all__ = ["overflowing", "save_overflowing"]


def save_overflowing(model: Model, path: Path, *names: str) -> Path:
    """Write a model as a checkpoint of float32 weights, scaled."""
    save_checkpoint(model, path)
    for part, picked, factor in (scale for name in names for scale in OVERFLOWS[name]):

        def scale(state: dict[str, Tensor], picked: Callable[[str], bool] = picked, factor: float = factor) -> None:
            state |= {name: tensor.float() * factor for name, tensor in state.items() if picked(name)}

        rewrite(path / f"{part}.safetensors", scale)
    return path
