"""What PyTorch computes for a handful of prompts, and how far an artifact is from it.

`record` runs the reference once and keeps every tensor at a stage's boundary.  `measure` holds a runner
against a record in two ways: teacher-forced, where each stage and step gets the reference's input and shows
its own error, and free-running, where errors accumulate as on the phone, down to the picture.  Each stage is
done with before the next begins, so a runner may hold one at a time.  Whether the distances are small enough is
gates.py; the same records are the bundle's golden vectors (golden.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.parity.metrics import Metrics, PictureMetrics, compare, compare_pictures
from export.runners import Runner
from mobile_diffusion.drawing import NULL_PROMPT, DrawSettings
from mobile_diffusion.errors import ParityError
from mobile_diffusion.noise import gaussian
from mobile_diffusion.tokenization.tokenizer import Tokenizer

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

CHECKS = ("encode_text", "encode_image", "denoise", "prediction", "decode_image", "free_running", "picture")
DEPTHS = ("trajectory", "step")
"""All steps, teacher-forced and free-running; or the first step and a decoding, for models that take minutes here."""
FREE_CHECKS = ("free_running", "picture")
OUTPUTS = {"encode_text": "context", "encode_image": "latents", "decode_image": "image"}
"""The output of each stage that has one."""


@dataclass(frozen=True)
class Case:
    """A picture to draw."""

    prompt: str
    seed: int
    strength: float = 1.0
    """Below 1, the picture of the first case is redrawn, so much of the way."""

    def __str__(self) -> str:
        shown = self.prompt if len(self.prompt) <= 24 else f"{self.prompt[:21]}..."
        return f"{shown!r} seed {self.seed}" + (f" over a picture {self.strength:g}" if self.strength < 1 else "")


CASES = (
    Case("a red apple, 3d", 7),
    Case("a smiling cat face, flat", 2**32),
    Case("a slice of pizza with cheese and tomato on a wooden table, drawn in 3d", 2**64 - 1),
    Case("", 0),
)
"""Short, long and empty prompts; seeds that use either half of the generator's key, both and none."""
REDRAWN_CASE = Case("a red apple, 3d", 11, 0.5)
"""Added for bundles that can begin with a picture."""


@dataclass(frozen=True)
class SolverTables:
    """The solver's tables (`StepTable`), with which a network's output is recovered from latents."""

    update: tuple[tuple[tuple[float, ...], ...], ...]
    noise: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Every tensor at a stage's boundary while one picture is drawn."""

    case: Case
    guidance: float
    prompts: Mapping[str, Mapping[str, Integers]]
    """For each context of `denoise` ("context", and "null_context" with cfg) the inputs of `encode_text`, (1, L)."""
    contexts: Mapping[str, Floats]
    """(1, L, D) each."""
    first: int
    """The step it began with; 0 unless it redraws a picture."""
    states: Floats
    """(n + 1, (1 + M) * C, h, w): latents and memory before step `first`, then after every step."""
    image: Floats
    """(1, 3, H, W) in [0, 1], from the last latents."""
    source: Floats | None = None
    """The picture (1, 3, H, W) that is redrawn, and its latents (1, C, h, w)."""
    encoded: Floats | None = None

    @property
    def steps(self) -> int:
        """Recorded steps."""
        return len(self.states) - 1


@dataclass(frozen=True)
class Measurement:
    """One comparison."""

    runtime: str
    check: str
    """One of CHECKS."""
    case: str
    step: int | None
    metrics: Metrics | PictureMetrics | None
    problem: str = ""
    """Why there are no metrics: an output of the wrong shape."""


def planned_checks(depth: str, images: bool) -> tuple[str, ...]:
    """The checks that a comparison of this depth makes, in order."""
    left_out = (() if images else ("encode_image",)) + (FREE_CHECKS if depth == "step" else ())
    return tuple(check for check in CHECKS if check not in left_out)


def record(
    runner: Runner,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    case: Case,
    depth: str = "trajectory",
    source: Floats | None = None,
) -> Trajectory:
    """Draw one picture with `runner` (PyTorch, for a reference) and keep everything.

    `source` is the picture that a case of strength below 1 redraws.  At depth "step" only the first step is made.
    """
    prompts = {"context": _inputs(tokenizer, settings, case.prompt)}
    if settings.guidance_kind == "cfg":
        prompts["null_context"] = _inputs(tokenizer, settings, NULL_PROMPT)
    contexts = {name: run_one(runner, "encode_text", **inputs) for name, inputs in prompts.items()}
    encoded = None if source is None else run_one(runner, "encode_image", image=source)
    first = settings.steps - int(settings.steps * case.strength) if case.strength < 1 else 0
    last = first + 1 if depth == "step" else settings.steps
    nothing = np.empty(0, np.float32)
    draft = Trajectory(case, settings.guidance, prompts, contexts, first, nothing, nothing, source, encoded)
    states = _walk(runner, draft, settings, contexts, encoded, last)
    image = run_one(runner, "decode_image", latents=latents_of(states[-1:], settings))
    return Trajectory(case, settings.guidance, prompts, contexts, first, states, image, source, encoded)


def run_one(runner: Runner, stage: str, **arrays: NDArray[np.generic]) -> Floats:
    """Run a stage and give its only output; raises `ParityError` when it is called otherwise."""
    outputs = runner.run(stage, **arrays)
    if list(outputs) != [OUTPUTS[stage]]:
        raise ParityError(f"{runner.name}: {stage}: expected the output {OUTPUTS[stage]}, got {list(outputs)}")
    return np.asarray(outputs[OUTPUTS[stage]])


def measure(
    runtime: str,
    runner: Runner,
    reference: Trajectory,
    settings: DrawSettings,
    update: SolverTables,
    depth: str = "trajectory",
) -> tuple[list[Measurement], Floats]:
    """Hold a runner against a record; gives also its picture, drawn by itself or (depth "step") decoded."""
    contexts = {name: run_one(runner, "encode_text", **inputs) for name, inputs in reference.prompts.items()}
    pairs: list[Pair] = [("encode_text", None, reference.contexts[name], got) for name, got in contexts.items()]
    encoded = None
    if reference.source is not None and reference.encoded is not None:
        encoded = run_one(runner, "encode_image", image=reference.source)
        pairs.append(("encode_image", None, reference.encoded, encoded))
    pairs += _steps(runner, reference, settings, update)
    last = reference.first + reference.steps
    own = _walk(runner, reference, settings, contexts, encoded, last) if depth == "trajectory" else None
    wanted = latents_of(reference.states[-1:], settings)
    picture = run_one(runner, "decode_image", latents=wanted)
    pairs.append(("decode_image", None, reference.image, picture))
    if own is not None:
        states = enumerate(zip(reference.states[1:], own[1:], strict=True), reference.first)
        pairs += [("free_running", step, wanted, got) for step, (wanted, got) in states]
        picture = run_one(runner, "decode_image", latents=latents_of(own[-1:], settings))
        pairs.append(("picture", None, reference.image, picture))
    return [_measurement(runtime, reference.case, *pair) for pair in pairs], np.asarray(picture, np.float32)


Pair = tuple[str, int | None, NDArray[np.floating], NDArray[np.floating]]
"""Check, step, reference, candidate."""


def _inputs(tokenizer: Tokenizer, settings: DrawSettings, prompt: str) -> dict[str, Integers]:
    """The inputs of `encode_text` for a prompt."""
    tokens = tokenizer.encode(prompt)
    return {"tokens": tokens.ids[None], **({"mask": tokens.mask[None]} if settings.uses_mask else {})}


def latents_of(state: Floats, settings: DrawSettings) -> Floats:
    """The latents (n, C, h, w) of states (n, (1 + M) * C, h, w)."""
    return np.ascontiguousarray(state[:, : settings.latent_shape[1]])


def _steps(runner: Runner, reference: Trajectory, settings: DrawSettings, update: SolverTables) -> Iterator[Pair]:
    """Every step given the reference's state: the state it makes, the network's output inside its latents."""
    for number in range(reference.steps):
        step = reference.first + number
        before, after = reference.states[number][None], reference.states[number + 1][None]
        got = _denoise(runner, reference, settings, reference.contexts, before, step)
        yield "denoise", step, after, got
        if got.shape == after.shape:
            rest, factor = _without_output(before, step, reference, settings, update)
            wanted, found = ((latents_of(each, settings) - rest) / factor for each in (after, got))
            yield "prediction", step, wanted, found


def _without_output(
    state: Floats, step: int, reference: Trajectory, settings: DrawSettings, update: SolverTables
) -> tuple[NDArray[np.float64], float]:
    """The part of the next latents that does not come from the network, and the factor of its output."""
    *weights, factor = update.update[step][0]
    tensors = np.split(state.astype(np.float64), len(weights), axis=1)
    rest = sum(weight * tensor for weight, tensor in zip(weights, tensors, strict=True))
    return rest + update.noise[step] * _fresh(reference.case, settings, step).astype(np.float64), factor


def _fresh(case: Case, settings: DrawSettings, step: int) -> Floats:
    """The noise that a stochastic solver adds at a step; zeros for another."""
    if not settings.stochastic:
        return np.zeros(settings.latent_shape, np.float32)
    return gaussian(case.seed, settings.latent_shape, tensor=step + 1)


def _walk(
    runner: Runner,
    reference: Trajectory,
    settings: DrawSettings,
    contexts: Mapping[str, Floats],
    encoded: Floats | None,
    last: int,
) -> Floats:
    """All states (n + 1, ...) from the noise, or the noised picture, through step `last` - 1."""
    noise, first = gaussian(reference.case.seed, settings.latent_shape), reference.first
    if encoded is not None and first:
        noise = np.float32(settings.alphas[first]) * encoded + np.float32(settings.sigmas[first]) * noise
    states = [np.concatenate([noise] + [np.zeros_like(noise)] * settings.memory, axis=1)]
    for step in range(first, last):
        states.append(_denoise(runner, reference, settings, contexts, states[-1], step))
        if states[-1].shape != states[0].shape:
            raise ParityError(f"{runner.name}: denoise: expected {states[0].shape}, got {states[-1].shape}")
    return np.concatenate(states)


def _denoise(
    runner: Runner,
    reference: Trajectory,
    settings: DrawSettings,
    contexts: Mapping[str, Floats],
    state: Floats,
    step: int,
) -> Floats:
    """One step of the whole state (1, (1 + M) * C, h, w)."""
    outputs = runner.run("denoise", **step_inputs(reference, settings, contexts, state, step))
    expected = ["latents", "memory"] if settings.memory else ["latents"]
    if list(outputs) != expected:
        raise ParityError(f"{runner.name}: denoise: expected the outputs {expected}, got {list(outputs)}")
    return np.concatenate([np.asarray(outputs[name]) for name in expected], axis=1)


def step_inputs(
    reference: Trajectory, settings: DrawSettings, contexts: Mapping[str, Floats], state: Floats, step: int
) -> dict[str, NDArray[np.generic]]:
    """The inputs of `denoise` at a step, its state being (1, (1 + M) * C, h, w)."""
    arrays: dict[str, NDArray[np.generic]] = dict(contexts)
    arrays |= {"latents": latents_of(state, settings), "step": np.array([step], np.int32)}
    if "null_context" in contexts:
        arrays["guidance"] = np.array([reference.guidance], np.float32)
    if settings.memory:
        arrays["memory"] = np.ascontiguousarray(state[:, settings.latent_shape[1] :])
    if settings.stochastic:
        arrays["noise"] = _fresh(reference.case, settings, step)
    return arrays


def _measurement(
    runtime: str,
    case: Case,
    check: str,
    step: int | None,
    reference: NDArray[np.floating],
    candidate: NDArray[np.floating],
) -> Measurement:
    distance: Callable[..., Metrics | PictureMetrics] = compare_pictures if check == "picture" else compare
    try:
        return Measurement(runtime, check, str(case), step, distance(reference, candidate))
    except ParityError as error:
        return Measurement(runtime, check, str(case), step, None, str(error))
