"""Inputs that provoke faults: the worst that an app may pass to a stage.

A short list with names.  Each says how the stage's inputs are filled; numbers drawn at random are seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.signatures import TensorSpec
from mobile_diffusion.drawing import NULL
from mobile_diffusion.start import IMAGE_GUIDANCE

Arrays = dict[str, NDArray[np.generic]]
Contexts = Callable[[str], Mapping[str, NDArray[np.float32]]]
"""Maps a prompt to the outputs of `encode_text` by name: "context" (1, L, D), and for SDXL "pooled" (1, P)."""
Tokens = Callable[[str], Arrays]
"""Maps a prompt to the inputs of `encode_text`."""

ORDINARY_PROMPT = "a red apple, 3d"
LONG_PROMPT = "an extremely detailed oil painting of seven black cats and a golden clock beside the sea, " * 6
"""More words than any encoder takes, so every token is used."""
SEED = 5
LEVELS = 255
"""Levels of an 8-bit picture above zero."""


@dataclass(frozen=True)
class Provocation:
    """How the inputs of a stage are filled."""

    name: str
    reason: str
    scale: float = 1.0
    """Standard deviation of latents, contexts and other floats."""
    constant: bool = False
    """Whether latents and pictures have the value `scale` everywhere."""
    last: bool = False
    """Whether to use the last step of the schedule instead of the first."""
    guidance: float = 7.5
    prompt: str = ORDINARY_PROMPT


PROVOCATIONS = (
    Provocation("ordinary", "what an app asks for: noise, the first step, guidance 7.5"),
    Provocation("last step", "the update divides by the smallest noise", last=True),
    Provocation("long prompt", "no token is padding, so attention to the text is spread widest", prompt=LONG_PROMPT),
    Provocation("empty prompt", "nearly all tokens are padding or masked", prompt=""),
    Provocation("extreme guidance", "thirty times the difference of two predictions", guidance=30.0),
    Provocation("large latents", "five times the magnitude of noise, as strong guidance leaves them", scale=5.0),
    Provocation("faint latents", "a thousandth of it: small numbers underflow", scale=1e-3),
    Provocation("constant", "no variance, by which norms divide", constant=True),
    Provocation("zero", "not even a mean", scale=0.0, constant=True),
)


@dataclass(frozen=True)
class Filling:
    """What is known about the model of a stage, besides the signature."""

    steps: int = 1
    tokens: Tokens | None = None
    """None without a tokenizer; then the first ids are used, one per word of the prompt."""
    contexts: Contexts | None = None
    """None without a text encoder; then contexts are noise."""

    def arrays(self, inputs: Sequence[TensorSpec], provocation: Provocation) -> Arrays:
        """Arrays for a signature; an input that has no known name and is not a float is zero."""
        generator = np.random.default_rng(SEED)
        return {spec.name: self.array(spec, provocation, generator) for spec in inputs}

    def array(self, spec: TensorSpec, provocation: Provocation, generator: np.random.Generator) -> NDArray[np.generic]:
        """One array."""
        shape, dtype = spec.shape, np.dtype(spec.dtype)
        noise = generator.standard_normal(shape)
        match spec.name:
            case "step":
                return np.full(shape, self.steps - 1 if provocation.last else 0, dtype)
            case "image_guidance":
                return np.full(shape, IMAGE_GUIDANCE, dtype)
            case "mask" if dtype.kind == "f":
                return (np.arange(noise.size).reshape(shape) % 2).astype(dtype)
            case "guidance":
                return np.full(shape, provocation.guidance, dtype)
            case "tokens" | "mask":
                return self.prompt_inputs(provocation.prompt, shape)[spec.name].astype(dtype)
            case "context" | "pooled" | "null_context" | "null_pooled" if self.contexts is not None:
                prompt = "" if spec.name.startswith(NULL) else provocation.prompt
                return self.contexts(prompt)[spec.name.removeprefix(NULL)].astype(dtype)
            case "image":
                return picture(shape, provocation, noise).astype(dtype)
        if dtype.kind != "f":
            return np.zeros(shape, dtype)
        if "context" in spec.name or "pooled" in spec.name:
            return noise.astype(dtype)
        return (np.full(shape, provocation.scale) if provocation.constant else noise * provocation.scale).astype(dtype)

    def prompt_inputs(self, prompt: str, shape: tuple[int, ...]) -> Arrays:
        """Token ids and mask, each of `shape`."""
        if self.tokens is not None:
            return self.tokens(prompt)
        used = min(len(prompt.split()) + 2, shape[-1])
        ids, mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        ids[..., :used], mask[..., :used] = np.arange(used), 1
        return {"tokens": ids, "mask": mask}


def picture(shape: tuple[int, ...], provocation: Provocation, noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels from 0 to 1 in steps of 1 / 255: of one value, or noise about grey of one level at least.

    With a large scale nearly all are black or white.
    """
    if provocation.constant:
        return np.full(shape, min(provocation.scale, 1.0))
    deviation = max(0.25 * provocation.scale, 1 / LEVELS)
    return np.rint(np.clip(0.5 + deviation * noise, 0.0, 1.0) * LEVELS) / LEVELS


def cases(filling: Filling, inputs: Sequence[TensorSpec]) -> Iterator[tuple[str, Arrays]]:
    """Name and arrays of every provocation; skips one whose inputs equal those of an earlier one."""
    seen: set[bytes] = set()
    for provocation in PROVOCATIONS:
        arrays = filling.arrays(inputs, provocation)
        content = b"".join(array.tobytes() for array in arrays.values())
        if content not in seen:
            seen.add(content)
            yield provocation.name, arrays
