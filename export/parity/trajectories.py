"""What PyTorch computes while it draws a few pictures: the reference of every comparison.

A trajectory holds every tensor at a stage's boundary.  record.py makes one, measure.py compares a runner with it,
golden.py stores it in the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.adapters import ScaledAdapters
from mobile_diffusion.drawing import DrawSettings, LatentState, first_state, step_inputs, with_guidance
from mobile_diffusion.errors import ParityError
from mobile_diffusion.hint import with_scales
from mobile_diffusion.prompts.reading import split_windows
from mobile_diffusion.quoting import quoted
from mobile_diffusion.start import picture_inputs

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class Case:
    """A picture to draw."""

    prompt: str
    seed: int
    strength: float = 1.0
    """Below 1 the picture of the first case is redrawn with this strength."""

    def __str__(self) -> str:
        shown = self.prompt if len(self.prompt) <= 24 else f"{self.prompt[:21]}..."
        return f"{quoted(shown)} seed {self.seed}" + (f" over a picture {self.strength:g}" if self.strength < 1 else "")


CASES = (
    Case("a red apple, 3d", 7),
    Case("a smiling cat face, flat", 2**32),
    Case("a slice of pizza with cheese and tomato on a wooden table, drawn in 3d", 2**64 - 1),
    Case("", 0),
)
"""Short, long and empty prompts; seeds that use the low half of the generator's key, the high half, both and none."""
LONG_CASE = Case(
    "a smiling brown bear with a green hat and a long red scarf sits on an old wooden chair in front of a small house "
    "in a quiet forest, warm evening light falls through tall pine trees, a basket full of red apples and yellow pears "
    "stands beside the door, white clouds drift over blue mountains far behind, a river runs past stones and flowers, "
    "two small birds watch from the roof, painted in soft colours with fine detail and a wide view, drawn in 3d",
    13,
)
"""Added for bundles whose prompts have several windows."""
REDRAWN_CASE = Case("a red apple, 3d", 11, 0.5)
"""Added for bundles that can start from a picture; all steps are made by one step, and by networks that read it."""


def chosen_cases(cases: Sequence[Case], depth: str, settings: DrawSettings) -> list[Case]:
    """The cases without a picture that an export of this depth records."""
    long = [LONG_CASE] if settings.windows > 1 else []
    return [*long, *cases][:1] if depth == "step" else [*cases, *long]


def redrawn_case(settings: DrawSettings) -> Case:
    """The case of a bundle that starts from a picture."""
    begins_late = settings.steps > 1 and settings.task == "draw"
    return REDRAWN_CASE if begins_late else replace(REDRAWN_CASE, strength=1.0)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Every tensor at a stage's boundary while one picture is drawn."""

    case: Case
    guidance: float
    prompts: Mapping[str, Mapping[str, Integers]]
    """Per context that is encoded ("context", and with cfg mostly "null_context") the inputs of `encode_text` for its
    N windows, stacked in front."""
    contexts: Mapping[str, Floats]
    """The outputs of `encode_text` per text: context (1, L, D), for SDXL pooled (1, P), and those of the null text."""
    skipped: int
    """Steps that were left out; 0 unless a picture is redrawn."""
    states: Floats
    """(n + 1, (1 + M) * C, h, w): latents and memory in front of the first step, then after each of n steps."""
    image: Floats
    """(1, 3, H, W) in [0, 1], from the last latents."""
    source: Floats | None = None
    """The picture (1, 3, H, W) that is redrawn."""
    encoded: Floats | None = None
    """Its latents (1, C, h, w)."""
    latent_mask: Floats | None = None
    """(1, 1, h, w), of an inpainting network: 1 where `source` is painted grey, to be drawn anew."""
    hints: Floats | None = None
    """(n, 3, H, W), of n ControlNets."""
    hint_features: Floats | None = None
    """(n, C, h, w): the same, encoded."""
    hint_scales: Floats | None = None
    """(n,)."""
    adapters: Floats | None = None
    """(n, r, P): the factors of n adapters."""
    adapter_scales: Floats | None = None
    """(n,)."""

    @property
    def steps(self) -> int:
        """Number of recorded steps."""
        return len(self.states) - 1

    @property
    def texts(self) -> list[dict[str, Integers]]:
        """The inputs of each call of `encode_text`: the windows of the prompt, then those of the null text."""
        return [window for inputs in self.prompts.values() for window in split_windows(inputs)]

    def state(self, number: int, settings: DrawSettings) -> LatentState:
        """The state in front of the recorded step `number`, 0 to n - 1."""
        row = self.states[number : number + 1]
        return LatentState(latents_of(row, settings), np.ascontiguousarray(row[:, settings.latent_shape[1] :]))

    def conditions(self, settings: DrawSettings) -> dict[str, NDArray[np.generic]]:
        """The inputs of `denoise` that stay the same at every step."""
        constant = with_guidance(settings, self.contexts, self.guidance) | self.picture_inputs(settings, self.encoded)
        return constant | self.hint_inputs(self.hint_features) | self.adapter_inputs()

    def hint_inputs(self, features: Floats | None) -> dict[str, NDArray[np.generic]]:
        """What `denoise` reads of the hints, by `encode_hint` (n, C, h, w) of any runner."""
        return {} if features is None or self.hint_scales is None else with_scales(features, self.hint_scales)

    def adapter_inputs(self) -> dict[str, NDArray[np.generic]]:
        """What `denoise` reads of adapters."""
        if self.adapters is None or self.adapter_scales is None:
            return {}
        return ScaledAdapters(self.adapters, self.adapter_scales).inputs()

    def picture_inputs(self, settings: DrawSettings, encoded: Floats | None) -> dict[str, NDArray[np.generic]]:
        """What `denoise` reads of the picture at every step, by latents of it (1, C, h, w) of any runner."""
        mask = {} if self.latent_mask is None else {"mask": self.latent_mask}
        return picture_inputs(settings, encoded, mask, self.guidance)

    def begin(self, settings: DrawSettings, encoded: Floats | None) -> LatentState:
        """The state in front of the first step, by latents of the picture of any runner."""
        redrawn = encoded if settings.task == "draw" else None
        return first_state(settings, self.case.seed, self.skipped, redrawn)

    def step_inputs(self, number: int, settings: DrawSettings) -> dict[str, NDArray[np.generic]]:
        """All inputs of `denoise` at the recorded step `number`."""
        constant, state = self.conditions(settings), self.state(number, settings)
        return step_inputs(settings, constant, state, self.row(number, settings), self.case.seed)

    def row(self, number: int, settings: DrawSettings) -> int:
        """The input `step` of `denoise` at the recorded step `number`."""
        return settings.rows(self.skipped)[number]

    def step(self, number: int, settings: DrawSettings) -> int:
        """The place of the recorded step `number` in a whole drawing, from 0."""
        return settings.steps - len(settings.rows(self.skipped)) + number


def latents_of(states: Floats, settings: DrawSettings) -> Floats:
    """The latents (n, C, h, w) of states (n, (1 + M) * C, h, w)."""
    return np.ascontiguousarray(states[:, : settings.latent_shape[1]])


def joined(state: LatentState) -> Floats:
    """A state as one array (1, (1 + M) * C, h, w); raises `ParityError` if its parts do not fit together."""
    if not state.memory.size:
        return state.latents
    if state.latents.shape[2:] != state.memory.shape[2:]:
        got = f"{state.latents.shape} and {state.memory.shape}"
        raise ParityError(f"denoise: expected latents and memory of one height and width, got {got}")
    return np.concatenate([state.latents, state.memory], axis=1)
