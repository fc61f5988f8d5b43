"""Checks, loads and saves the weights of one network in one safetensors file with our tensor names.

Weights are float16 on disk and float32 in memory.  formats/ reads the tensors of other formats; checkpoint.py handles
folders, configurations and tokenizers.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.tensor_layout import Build, Layout, check_layout, load_layout, read_layout

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def refuse_pickle(file: Path) -> None:
    """Raise CheckpointError when the file's suffix is that of a pickle, because opening a pickle can run code."""
    if file.suffix.lower() in PICKLES:
        raise CheckpointError(f"{file}: expected safetensors, got a pickle, which can run code; convert it")


def read_weights_layout(file: Path) -> Layout:
    """Read the layout of a file with our names; raise CheckpointError when it is missing, damaged or a pickle."""
    if not file.is_file():
        for suffix in PICKLES:
            if (pickle := file.with_suffix(suffix)).exists():
                refuse_pickle(pickle)
        raise CheckpointError(f"{file}: expected weights of the {file.stem}, got no such file; restore it")
    return read_layout(file)


def check_weights(build: Build, file: Path) -> None:
    """Check the header of a safetensors file against the network, before any weight is read.

    Raises CheckpointError as `check_layout` does.
    """
    check_layout(build, read_weights_layout(file), file)


def load_weights(build: Build, file: Path) -> nn.Module:
    """Build a network and load the weights of `file` as float32.

    Raises CheckpointError when the file is damaged or a weight is NaN or inf.
    """
    return load_layout(build, read_layout(file))


def save_weights(module: nn.Module, file: Path) -> None:
    """Write a network's weights as float16; raise CheckpointError when one does not fit float16."""
    state: dict[str, Tensor] = {
        name: tensor.detach().cpu().half().contiguous() for name, tensor in module.state_dict().items()
    }
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file.name}: tensor {quoted(name)}: expected values within float16, got others")
    save_file(state, file, metadata={"format": "pt"})
