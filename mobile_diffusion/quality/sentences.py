"""Embeds sentences as unit vectors with all-MiniLM-L6-v2, which sentence-transformers trained on a billion pairs.

The network, MiniLM (Wang et al. 2020), is also the emoji model's text encoder.  As in its training, the embedding is
the mean over tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.presets import MINILM
from mobile_diffusion.quality.packaged import sha256_of
from mobile_diffusion.shipped import shipped_model
from mobile_diffusion.text_encoder import build_text_encoder
from mobile_diffusion.tokenization.tokenizer import WordPieceTokenizer
from mobile_diffusion.weights import check_weights, load_weights

WIDTH = 384
BATCH = 128


class Sentences:
    """MiniLM and its tokenizer, loaded."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open `text_encoder.safetensors` and `tokenizer.json` of a folder, by default the emoji model's.

        Raises CheckpointError when they are not MiniLM's.
        """
        folder = folder or shipped_model()
        file = folder / "text_encoder.safetensors"
        check_weights(_build, file)
        self.sha256 = sha256_of(file)
        self._encoder = load_weights(_build, file)
        self._tokenizer = WordPieceTokenizer.from_file(folder / "tokenizer.json", MINILM.max_tokens)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors float32 (N, 384)."""
        starts = range(0, len(texts), BATCH)
        parts = [self._embed_batch(texts[start : start + BATCH]) for start in starts]
        return torch.cat(parts) if parts else torch.zeros(0, WIDTH)

    @torch.inference_mode()
    def _embed_batch(self, texts: Sequence[str]) -> Tensor:
        tokens = [self._tokenizer.encode(text) for text in texts]
        ids = torch.from_numpy(np.stack([token.ids for token in tokens]))  # (B, L)
        mask = torch.from_numpy(np.stack([token.mask for token in tokens]))
        longest = int(mask.sum(dim=1).max())  # the rest is padding in every row
        ids, mask = ids[:, :longest], mask[:, :longest]
        states = self._encoder(ids, mask) * mask[:, :, None]  # (B, L, D)
        return F.normalize(states.sum(dim=1) / mask.sum(dim=1, keepdim=True), dim=1)


def _build() -> torch.nn.Module:
    return build_text_encoder(MINILM)
