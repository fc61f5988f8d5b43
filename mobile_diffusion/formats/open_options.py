"""What a user may change about a checkpoint while opening it; changes.py makes the changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OpenOptions:
    """Changes to a checkpoint; with none given it is opened as it is.

    >>> from mobile_diffusion import OpenOptions
    >>> options = OpenOptions(width=768, height=512, steps=20, solver="dpm-solver++")
    >>> options.guidance is None  # the checkpoint's own
    True
    """

    height: int | None = None
    """Pixels of a picture, a multiple of 64 for Stable Diffusion; also `width`."""
    width: int | None = None
    steps: int | None = None
    """Steps of the exported schedule."""
    solver: str | None = None
    """ddim, dpm-solver++, euler, pndm or lcm; the checkpoint's scheduler says which by default."""
    spacing: str | None = None
    """trailing, leading or linspace spacing of the timesteps."""
    guidance: float | None = None
    """Default guidance scale."""
    guidance_kind: str | None = None
    """"cfg" (two evaluations a step) or "distilled" (one)."""
    loras: tuple[tuple[Path, float], ...] = ()
    """LoRA files and the scale of each, merged in order."""
    decoder: Path | None = None
    """A tiny autoencoder (diffusers folder or safetensors file) in place of the checkpoint's."""
    skip_layers: int = 0
    """Last layers of the text encoder that are left out."""
    embeddings: tuple[Path, ...] = ()
    """Textual inversion files."""
    prediction: str | None = None
    """epsilon, v or sample, where no file says what the network predicts (single files of Stable Diffusion 2)."""
    tokenizer: Path | None = None
    """Folder of the tokenizer, for a checkpoint that carries none (single files)."""
    variant: str | None = None
    """Variant of a diffusers folder's weights, such as "fp16"; None for the plain files where there are any."""
