"""The data that comes with the package: the emoji model, and the retrieval network of `mobile-diffusion evaluate`.

An installed package has them as package data.  In a checkout they are in assets/, where git keeps them once; setup.py
puts them into the wheel.
"""

from __future__ import annotations

from pathlib import Path

from mobile_diffusion.errors import CheckpointError

PACKAGE = Path(__file__).parent
CHECKOUT = PACKAGE.parent


def shipped_model() -> Path:
    """Return the folder of the emoji model, a small checkpoint that draws emoji of 128 x 128 pixels.

    Raises CheckpointError when the installation lacks it.

    >>> from mobile_diffusion import shipped_model
    >>> sorted(file.name for file in shipped_model().glob("*.safetensors"))
    ['autoencoder.safetensors', 'text_encoder.safetensors', 'unet.safetensors']
    """
    return _find("emoji_model", "assets/emoji", "model.json")


def retrieval_model() -> Path:
    """Return the folder of the retrieval network; raises CheckpointError when the installation lacks it."""
    return _find("retrieval_model", "assets/quality", "retrieval.safetensors")


def _find(name: str, source: str, file: str) -> Path:
    """Return the folder of that name in the package, or its source in a checkout, whichever has the file."""
    for folder in (PACKAGE / name, CHECKOUT / source):
        if (folder / file).is_file():
            return folder
    raise CheckpointError(f"expected {file} in {PACKAGE / name}, got none; install mobile-diffusion again")
