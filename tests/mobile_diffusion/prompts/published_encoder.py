"""A text encoder that is a formula, so that programs of different years can be compared on it."""

from __future__ import annotations

import numpy as np

WIDTH = 2


def encode(tokens: np.ndarray) -> np.ndarray:
    """Tokens (B, L) -> (B, L, 2); each vector depends on the tokens up to its own, as CLIP's do."""
    seen = np.cumsum(tokens.astype(np.float64) % 97, axis=1)
    return np.stack([np.sin(seen + 1) + 0.3, np.cos(2 * seen) + 0.2], axis=-1)
