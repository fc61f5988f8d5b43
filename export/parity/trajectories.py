"""What PyTorch computes for a handful of prompts, and how far an artifact is from it.

`record` runs the reference once and keeps every tensor at a stage's boundary.  `measure` holds a runner
against a record in two ways: teacher-forced, where each stage and step gets the reference's input and shows
its own error, and free-running, where errors accumulate as on the phone, down to the picture.  Whether the
distances are small enough is gates.py; the same records are the bundle's golden vectors (golden.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.parity.metrics import Metrics, PictureMetrics, compare, compare_pictures
from export.runners import Runner
from mobile_diffusion.errors import ParityError
from mobile_diffusion.noise import gaussian
from mobile_diffusion.tokenizer import Tokenizer

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

CHECKS = ("encode_text", "denoise", "prediction", "decode_image", "free_running", "picture")
OUTPUTS = {"encode_text": "context", "denoise": "latents", "decode_image": "image"}
"""The output of each stage."""


@dataclass(frozen=True)
class Case:
    """A picture to draw."""

    prompt: str
    seed: int

    def __str__(self) -> str:
        shown = self.prompt if len(self.prompt) <= 24 else f"{self.prompt[:21]}..."
        return f"{shown!r} seed {self.seed}"


CASES = (
    Case("a red apple, 3d", 7),
    Case("a smiling cat face, flat", 2**32),
    Case("a slice of pizza with cheese and tomato on a wooden table, drawn in 3d", 2**64 - 1),
    Case("", 0),
)
"""Short, long and empty prompts; seeds that use either half of the generator's key, both and none."""


@dataclass(frozen=True)
class Update:
    """Coefficients of every step, x' = a x + b m, with which a network's output is recovered from latents."""

    a: tuple[float, ...]
    b: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Every tensor at a stage's boundary while one picture is drawn."""

    case: Case
    guidance: float
    tokens: Integers
    """(1, L), and `mask` of the prompt; the null ones are those of the empty prompt."""
    mask: Integers
    null_tokens: Integers
    null_mask: Integers
    context: Floats
    """(1, L, D)."""
    null_context: Floats
    latents: Floats
    """(N + 1, C, h, w): the noise, then the latents after every step."""
    image: Floats
    """(1, 3, H, W) in [0, 1]."""

    @property
    def steps(self) -> int:
        """N."""
        return len(self.latents) - 1


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


def record(
    runner: Runner, tokenizer: Tokenizer, latent_shape: Sequence[int], steps: int, case: Case, guidance: float
) -> Trajectory:
    """Draw one picture with `runner` (PyTorch, for a reference) and keep everything."""
    tokens, null = tokenizer.encode(case.prompt), tokenizer.encode("")
    inputs = {
        "tokens": tokens.ids[None],
        "mask": tokens.mask[None],
        "null_tokens": null.ids[None],
        "null_mask": null.mask[None],
    }
    noise = gaussian(case.seed, latent_shape)
    context, null_context, latents = _draw(runner, inputs, noise, steps, guidance)
    image = run_one(runner, "decode_image", latents=latents[-1][None])
    return Trajectory(
        case, guidance, **inputs, context=context, null_context=null_context, latents=latents, image=image
    )


def run_one(runner: Runner, stage: str, **arrays: NDArray[np.generic]) -> Floats:
    """Run a stage and give its only output; raises `ParityError` when it is called otherwise."""
    outputs = runner.run(stage, **arrays)
    if list(outputs) != [OUTPUTS[stage]]:
        raise ParityError(f"{runner.name}: {stage}: expected the output {OUTPUTS[stage]}, got {list(outputs)}")
    return np.asarray(outputs[OUTPUTS[stage]])


def measure(runtime: str, runner: Runner, reference: Trajectory, update: Update) -> tuple[list[Measurement], Floats]:
    """Hold a runner against a record in every check; gives also the picture that it drew by itself."""
    pairs = [*_stages(runner, reference), *_steps(runner, reference, update), *_free(runner, reference)]
    picture = np.asarray(pairs[-1][-1], np.float32)
    return [_measurement(runtime, reference.case, *pair) for pair in pairs], picture


Pair = tuple[str, int | None, NDArray[np.floating], NDArray[np.floating]]
"""Check, step, reference, candidate."""


def _stages(runner: Runner, reference: Trajectory) -> Iterator[Pair]:
    """Text encoder and decoder, each given the reference's input."""
    context = run_one(runner, "encode_text", tokens=reference.tokens, mask=reference.mask)
    yield "encode_text", None, reference.context, context
    null_context = run_one(runner, "encode_text", tokens=reference.null_tokens, mask=reference.null_mask)
    yield "encode_text", None, reference.null_context, null_context
    image = run_one(runner, "decode_image", latents=reference.latents[-1][None])
    yield "decode_image", None, reference.image, image


def _steps(runner: Runner, reference: Trajectory, update: Update) -> Iterator[Pair]:
    """Every step given the reference's latents: the latents it makes, the network's output inside them."""
    for step in range(reference.steps):
        before, after = reference.latents[step][None], reference.latents[step + 1][None]
        got = _denoise(runner, before, step, reference.context, reference.null_context, reference.guidance)
        yield "denoise", step, after, got
        if got.shape == after.shape:
            a, b = update.a[step], update.b[step]
            wanted = (after.astype(np.float64) - a * before.astype(np.float64)) / b
            yield "prediction", step, wanted, (got.astype(np.float64) - a * before.astype(np.float64)) / b


def _free(runner: Runner, reference: Trajectory) -> Iterator[Pair]:
    """The whole way from the tokens, fed with nothing but its own results; the picture comes last."""
    inputs = {name: getattr(reference, name) for name in ("tokens", "mask", "null_tokens", "null_mask")}
    *_, latents = _draw(runner, inputs, reference.latents[:1], reference.steps, reference.guidance)
    for step in range(reference.steps):
        yield "free_running", step, reference.latents[step + 1], latents[step + 1]
    yield "picture", None, reference.image, run_one(runner, "decode_image", latents=latents[-1][None])


def _draw(
    runner: Runner, inputs: dict[str, Integers], noise: Floats, steps: int, guidance: float
) -> tuple[Floats, Floats, Floats]:
    """Context, null context and all latents (N + 1, C, h, w) of one picture."""
    context = run_one(runner, "encode_text", tokens=inputs["tokens"], mask=inputs["mask"])
    null_context = run_one(runner, "encode_text", tokens=inputs["null_tokens"], mask=inputs["null_mask"])
    latents = [noise]
    for step in range(steps):
        latents.append(_denoise(runner, latents[-1], step, context, null_context, guidance))
        if latents[-1].shape != noise.shape:
            raise ParityError(f"{runner.name}: denoise: expected latents {noise.shape}, got {latents[-1].shape}")
    return context, null_context, np.concatenate(latents)


def _denoise(
    runner: Runner, latents: Floats, step: int, context: Floats, null_context: Floats, guidance: float
) -> Floats:
    arrays = {"latents": latents, "context": context, "null_context": null_context}
    index, scale = np.array([step], np.int32), np.array([guidance], np.float32)
    return run_one(runner, "denoise", step=index, guidance=scale, **arrays)


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
