"""What every format reader returns: the model's configuration, and where its weights and tokenizer are stored.

The readers are native.py, diffusers.py and single_file.py.  changes.py applies the user's options to what they
return, and checkpoint.py loads the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mobile_diffusion.adapter_config import AdapterConfig
from mobile_diffusion.autoencoder import build_autoencoder
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.hint_nets import HintNets
from mobile_diffusion.tensor_layout import Build, Layout, check_layout, expected_shapes
from mobile_diffusion.text_encoder import build_text_encoder
from mobile_diffusion.tokenization.tokenizer import Tokenizer
from mobile_diffusion.unet import UNet

PARTS = ("unet", "autoencoder", "text_encoder")
"""The networks of a model; in our own format each name is that of a file."""

Adapter = Callable[[str, dict[str, Tensor]], None]
"""Takes the name of a network and its float32 weights by our names, and changes the weights in place (a LoRA)."""


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint on disk: its configuration has been read, its weights have not."""

    config: ModelConfig
    layouts: dict[str, Layout]
    """Where the weights of each of PARTS, and of "controls" if there are any, are stored."""
    open_tokenizer: Callable[[], Tokenizer]
    files: tuple[Path, ...]
    """Every file that the model depends on, in the order in which they are hashed."""
    path: Path
    """The folder or file that was opened."""
    kind: str
    """The format: "mobile-diffusion", "diffusers" or "single-file"."""
    adapters: tuple[Adapter, ...] = ()
    read_factors: tuple[Callable[[AdapterConfig], NDArray[np.float32]], ...] = ()
    """Functions that read the factors (r, P) of each adapter that a drawing turns on and off, in order."""
    variations: tuple[str, ...] = ()
    """Descriptions of the changes that options make to the weights; they are part of the hash."""


def builders(config: ModelConfig) -> dict[str, Build]:
    """Functions that build each of PARTS with fresh weights, and "controls" of a model that reads hints."""
    controls: dict[str, Build] = {"controls": lambda: HintNets(config.controls)} if config.controls else {}
    return {
        "unet": lambda: UNet(config.unet),
        "autoencoder": lambda: build_autoencoder(config.autoencoder),
        "text_encoder": lambda: build_text_encoder(config.text),
        **controls,
    }


def check_source(source: CheckpointFiles) -> None:
    """Check every layout against its network; raise CheckpointError naming the first tensor that does not fit."""
    builds = builders(source.config)
    for part, build in builds.items():
        files = {stored.file for stored in source.layouts[part].values()}
        where = files.pop() if len(files) == 1 else source.path
        try:
            check_layout(build, source.layouts[part], where)
        except CheckpointError as error:
            if other := _other_part(part, source):
                reason = f"expected weights of the {part}, got those of the {other}; put the right file there"
                raise CheckpointError(f"{where}: {reason}") from error
            raise


def _other_part(part: str, source: CheckpointFiles) -> str | None:
    """The other network that the tensors of `part` belong to, judged by their names; None when there is none."""
    names = set(source.layouts[part])
    expected = {name: expected_shapes(build, source.path) for name, build in builders(source.config).items()}
    shared = {name: len(names & shapes.keys()) for name, shapes in expected.items()}
    best = max(shared, key=lambda name: shared[name])
    return best if best != part and 2 * shared[best] > len(names) else None


def hash_source(source: CheckpointFiles) -> str:
    """SHA-256 in hexadecimal over the names, sizes and contents of the files, and over `variations`."""
    digest = hashlib.sha256()
    for file in source.files:
        inside = file != source.path and file.is_relative_to(source.path)
        name = file.relative_to(source.path).as_posix() if inside else file.name
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    for variation in source.variations:
        digest.update(f"{variation}\0".encode())
    return digest.hexdigest()
