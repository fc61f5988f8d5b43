"""Which networks encoded pictures and captions, and which weights a run began with, as hashes.

Latents of one autoencoder mean nothing to another.
"""

from __future__ import annotations

import hashlib

from torch import nn

from mobile_diffusion.autoencoder import Autoencoder

DECODING = ("decoder.", "post_quant_conv.")
"""Parameters without influence on latents."""


def network_hashes(autoencoder: nn.Module, text_encoder: nn.Module) -> tuple[str, str]:
    """SHA-256 of the weights that encode pictures, and of those that encode captions, without the decoder's."""
    assert isinstance(autoencoder, Autoencoder)  # open_placed
    scale = f"{autoencoder.config.scaling_factor}"
    return weights_hash(autoencoder, scale, DECODING), weights_hash(text_encoder, "", DECODING)


def weights_hash(network: nn.Module, words: str = "", without: tuple[str, ...] = ()) -> str:
    """SHA-256 of `words` and of a network's weights, without the parameters whose names begin with one of `without`."""
    found = hashlib.sha256(words.encode())
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith(without):
            found.update(name.encode() + tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return found.hexdigest()
