"""A checkpoint in diffusers' format whose pictures depend much on guidance, so that a wrong one shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from benchmarks.checkpoints.random_weights import write_checkpoint
from mobile_diffusion.drawing import Start

NAME = "bk-sdm-tiny"


def write_attentive(folder: Path, prediction: str = "epsilon") -> Path:
    """Write BK-SDM-tiny with random weights, narrow, and eight times as strong a cross-attention.

    `prediction` is diffusers' prediction_type.
    """
    write_checkpoint(NAME, folder, narrow=16)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    loud = {name: tensor * 8 if "attn2.to_" in name else tensor for name, tensor in tensors.items()}
    save_file(loud, file, metadata={"format": "pt"})
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps({**json.loads(scheduler.read_text()), "prediction_type": prediction}))
    return folder


def picture() -> np.ndarray:
    """A smooth picture (1, 3, 64, 64) in [0, 1]."""
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    return np.stack([ramp, ramp.T, np.full_like(ramp, 0.3)])[None]


def mask() -> np.ndarray:
    """Redraws a rectangle of (1, 1, 64, 64) whose edges cut through the blocks of latents."""
    found = np.zeros((1, 1, 64, 64), np.float32)
    found[..., 13:45, 21:52] = 1
    return found


STARTS = {"text": None, "image": Start(picture(), 0.5), "mask": Start(picture(), 0.75, mask())}
"""What a drawing starts from."""
SCALES = (-1.0, 0.0, 0.5, 1.0, 1.5, 7.5)
"""Guidance scales; diffusers draws without guidance up to 1."""
