"""One network's weights in one safetensors file: checked from its header, loaded, and written.

Weights are float16 on disk, float32 in memory.  Where the tensors of other formats lie is the business of
formats/, whose layouts this uses; folders, configurations and tokenizers are that of checkpoint.py.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.tensor_layout import Build, Layout, check_layout, load_layout, read_layout

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def refuse_pickle(file: Path) -> None:
    """Raise CheckpointError when the name says pickle: opening one can run any code."""
    if file.suffix.lower() in PICKLES:
        raise CheckpointError(f"{file}: expected safetensors, got a pickle, which can run code; convert it")


def read_weights_layout(file: Path) -> Layout:
    """The layout of a file of our own names; raises CheckpointError when it is missing, damaged or a pickle."""
    if not file.is_file():
        for suffix in PICKLES:
            if (pickle := file.with_suffix(suffix)).exists():
                refuse_pickle(pickle)
        raise CheckpointError(f"{file}: expected weights of the {file.stem}, got no such file; restore it")
    return read_layout(file)


def check_weights(build: Build, file: Path) -> None:
    """Compare the header of a safetensors file with the network, before any weight is read.

    Raises CheckpointError naming the first missing, misshaped or extra tensor and the number of others.
    """
    check_layout(build, read_weights_layout(file), file)


def load_weights(build: Build, file: Path) -> nn.Module:
    """Build a network and give it the weights of `file`, as float32; raises CheckpointError on NaN or inf."""
    return load_layout(build, read_layout(file))


def save_weights(module: nn.Module, file: Path) -> None:
    """Write a network's weights as float16; raises CheckpointError when one does not fit."""
    state: dict[str, Tensor] = {
        name: tensor.detach().cpu().half().contiguous() for name, tensor in module.state_dict().items()
    }
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file.name}: tensor {name!r}: expected values within float16, got others")
    save_file(state, file, metadata={"format": "pt"})
