"""Draws the pictures of an evaluation with any function from a prompt and a seed to a picture.

Such a function may call the PyTorch pipeline or an exported bundle; this package imports neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from mobile_diffusion.progress import Progress
from mobile_diffusion.quality.images import Picture, stack_pictures


class Drawer(Protocol):
    """Draws a prompt; the same seed always returns the same picture."""

    def __call__(self, prompt: str, seed: int, /) -> Picture: ...


class Tally:
    """Counts drawn pictures for a progress bar."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def say(self, what: str, drawn: int = 0) -> None:
        """Report the current work, after `drawn` more pictures have been drawn."""
        self._done += drawn
        self._progress(what, self._done / self._total)


def draw_all(draw: Drawer, prompts: Sequence[str], seeds: Sequence[int], tally: Tally, what: str) -> Tensor:
    """Draw each prompt with its seed: float32 (N, 3, H, W) in [0, 1]; `what` names them in the progress display."""
    pictures = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        pictures.append(draw(prompt, seed))
        tally.say(f"drawing {what}", drawn=1)
    return stack_pictures(pictures)
