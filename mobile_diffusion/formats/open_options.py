"""What a user may change about a checkpoint when opening it.  changes.py applies the changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OpenOptions:
    """Changes to make to a checkpoint when it is opened; without any, it is opened as it is.

    >>> from mobile_diffusion import OpenOptions
    >>> options = OpenOptions(width=768, height=512, steps=20, solver="dpm-solver++")
    >>> options.guidance is None  # the checkpoint's own
    True
    """

    height: int | None = None
    """Height of the pictures in pixels, a multiple of 64 for Stable Diffusion; the same holds for `width`."""
    width: int | None = None
    steps: int | None = None
    """Number of sampling steps."""
    solver: str | None = None
    """One of mobile_diffusion.config.SOLVERS, such as ddim or unipc; None for that of the checkpoint's scheduler."""
    spacing: str | None = None
    """Spacing of the timesteps: trailing, leading or linspace."""
    eta: float | None = None
    """Share of fresh noise at each step, 0 to 1, for the solvers ddim and tcd (its "gamma")."""
    guidance: float | None = None
    """Default guidance scale; 1 or less is no guidance, which takes one evaluation per step."""
    guidance_kind: str | None = None
    """"cfg" (two evaluations of the U-Net per step) or "distilled" (one)."""
    guidance_interval: tuple[float, float] | None = None
    """Where guidance begins and ends, as shares of the steps: (0, 0.5) guides the first half.  Every other step takes
    one evaluation."""
    guidance_shares: tuple[float, ...] = ()
    """Share of the guidance at each evaluation, 0 to 1, instead of an interval."""
    loras: tuple[tuple[Path, float], ...] = ()
    """LoRA files, each with its scale, merged in order."""
    decoder: Path | None = None
    """Autoencoder that replaces the checkpoint's: a diffusers folder, or a safetensors file of a tiny autoencoder."""
    vae: Path | None = None
    """KL autoencoder that replaces the checkpoint's, or the one that it lacks: a diffusers folder, or a safetensors
    file in diffusers' or latent diffusion's names."""
    controlnets: tuple[Path, ...] = ()
    """ControlNets: diffusers folders, or safetensors files with config.json beside them; each reads a hint picture."""
    adapters: tuple[tuple[str, Path], ...] = ()
    """LoRA files by name that a drawing turns on and off: they are not merged."""
    skip_layers: int = 0
    """Number of last layers of the text encoder to skip: diffusers' `clip_skip`."""
    windows: int | None = None
    """Windows of the text encoder's length (77 tokens of CLIP's) that a prompt has, 1 to 8."""
    tile: int | None = None
    """Side in pixels of the tiles by which pictures are decoded and encoded; 0 or None for whole pictures."""
    embeddings: tuple[Path, ...] = ()
    """Textual inversion files."""
    prediction: str | None = None
    """epsilon, v or sample: what the network predicts, for single files of Stable Diffusion 2 and diffusers folders
    that do not state it."""
    tokenizer: Path | None = None
    """Folder of the tokenizer for a single file, which contains none; None for CLIP's."""
    variant: str | None = None
    """Variant of a diffusers folder's weights, such as "fp16"; a network without it is read from its
    plain files, and None prefers those."""
