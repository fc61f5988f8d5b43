"""The adapters of a model by name, and how strong each is in one drawing.

An adapter is a LoRA whose factors `denoise` reads beside the latents (adapted.py), so that it is turned on and off
without another export.  `--lora` instead merges one into the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.draw_settings import DrawSettings
from mobile_diffusion.errors import PromptError
from mobile_diffusion.quoting import quoted

MAX_ADAPTER_SCALE = 5.0


@dataclass(frozen=True, eq=False)
class ScaledAdapters:
    """What `denoise` reads of adapters in one drawing."""

    factors: NDArray[np.float32]
    """(n, r, P)."""
    scales: NDArray[np.float32]
    """(n,); 0 for an adapter that is off."""

    def inputs(self) -> dict[str, np.ndarray]:
        """The inputs of `denoise`."""
        return {"adapters": self.factors, "adapter_scales": self.scales}


@dataclass(frozen=True, eq=False)
class Adapters:
    """The adapters that a drawing can choose from."""

    names: tuple[str, ...]
    factors: tuple[NDArray[np.float32], ...]
    """(r, P) of each."""
    slots: int
    """How many of them `denoise` reads at once; the model's own have a slot each."""

    def at(self, scales: Mapping[str, float]) -> ScaledAdapters:
        """The adapters at these scales by name; those that are not named, or at 0, are off.

        Those that are on take the first slots in the order of `scales`; the other slots are zeros.
        Raises PromptError for an unknown name, for a scale that is not from -5 to 5, and for more than there are slots.
        """
        for name, scale in scales.items():
            if name not in self.names:
                raise PromptError(f"adapter: expected one of {', '.join(self.names)}, got {quoted(name)}")
            if not -MAX_ADAPTER_SCALE <= scale <= MAX_ADAPTER_SCALE:
                limits = f"{-MAX_ADAPTER_SCALE:g} to {MAX_ADAPTER_SCALE:g}"
                raise PromptError(f"adapter {name}: expected a scale from {limits}, got {quoted(scale)}")
        on = {name: scale for name, scale in scales.items() if scale}
        if len(on) > self.slots:
            raise PromptError(f"adapter: expected up to {self.slots} at once, for which there is room, got {len(on)}")
        factors = np.zeros((self.slots, *self.factors[0].shape), np.float32)
        values = np.zeros(self.slots, np.float32)
        for slot, (name, scale) in enumerate(on.items()):
            factors[slot], values[slot] = self.factors[self.names.index(name)], scale
        return ScaledAdapters(factors, values)


def scaled(adapters: Adapters | None, scales: Mapping[str, float]) -> ScaledAdapters | None:
    """`Adapters.at`; None for a model without adapters, where a name raises PromptError."""
    if adapters is None and scales:
        raise PromptError(f"adapter: expected none, as this model has none, got {quoted(next(iter(scales)))}")
    return None if adapters is None else adapters.at(scales)


def adapter_inputs(settings: DrawSettings, given: ScaledAdapters | None) -> dict[str, np.ndarray]:
    """The inputs of `denoise` that are of adapters: all are off where none are given; {} for a model without them.

    Raises PromptError for adapters of another shape than the model has room for.
    """
    room = settings.adapters
    if given is not None and given.factors.shape != room:
        raise PromptError(f"adapters: expected the shape {room or 'of none'}, got {given.factors.shape}")
    if not room:
        return {}
    return (given or ScaledAdapters(np.zeros(room, np.float32), np.zeros(room[:1], np.float32))).inputs()
