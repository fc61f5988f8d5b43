"""The largest model, schedule and picture that a configuration may ask for.

A configuration is a few bytes that anyone can write, and building what it asks for could take hours or all memory.
So each limit is far above every published relative of Stable Diffusion 1 and 2, and far below what a computer cannot
build in a second or two.
"""

from __future__ import annotations

from mobile_diffusion.errors import ConfigError

PARAMETERS = 10_000_000_000
"""Parameters of one network.  The U-Net of Stable Diffusion 2 has 0.87 billion."""
BLOCKS = 256
"""ResNet blocks, transformers and layers of one network.  The U-Net of Stable Diffusion 1.5 has 38."""
TRAIN_STEPS = 10_000
"""Timesteps of the diffusion process.  Published models have 1,000."""
TOKENS = 4096
"""Tokens of a prompt.  CLIP reads 77, BERT at most 512."""
WINDOWS = 8
"""Windows of a prompt: of CLIP's, 600 words.  Each adds to the work of every step."""
SIDE = 8192
"""Pixels of a picture's height or width."""


def require_few_blocks(owner: object, blocks: int) -> None:
    """Raise ConfigError when a network has more than `BLOCKS` blocks."""
    if blocks > BLOCKS:
        reason = f"expected at most {BLOCKS} blocks (ResNet blocks, transformers, layers), got {blocks:,}"
        raise ConfigError(f"{type(owner).__name__}: {reason}; use a smaller network")
