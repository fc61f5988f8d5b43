"""How far a runner is from a recorded trajectory.

A runner is compared in two ways.  Teacher-forced: each stage and step gets the reference's input and shows its own
error.  Free-running: errors accumulate as on the phone, down to the picture.  Each stage is finished before the next
one starts, so a runner may hold one at a time.  Whether a distance is small enough is decided in gates.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.parity.metrics import Metrics, PictureMetrics, compare, compare_pictures
from export.parity.record import checked, record_states
from export.parity.trajectories import Floats, Trajectory, joined, latents_of
from export.runners import Runner
from export.signatures import HINT
from mobile_diffusion.drawing import DrawSettings, RunStage, denoise, encode_texts, with_guidance
from mobile_diffusion.errors import ParityError
from mobile_diffusion.schedule import StepTable
from mobile_diffusion.tiles import decode_picture, encode_picture

CHECKS = (
    "encode_text",
    "encode_image",
    "encode_hint",
    "denoise",
    "prediction",
    "decode_image",
    "free_running",
    "picture",
)
FREE_CHECKS = ("free_running", "picture")
DEPTHS = ("trajectory", "step")
"""All steps, teacher-forced and free-running; or the first step and a decoding, for models that take minutes here."""

Pair = tuple[str, int | None, NDArray[np.floating], NDArray[np.floating]]
"""Check, step, reference, candidate."""


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


def planned_checks(depth: str, images: bool, hints: bool = False) -> tuple[str, ...]:
    """The checks of a comparison of this depth, in order.

    `images` and `hints`: whether the stages `encode_image` and `encode_hint` are there.
    """
    there = {"encode_image": images, HINT: hints, **dict.fromkeys(FREE_CHECKS, depth != "step")}
    return tuple(check for check in CHECKS if there.get(check, True))


def checks_of(depth: str, trajectories: Sequence[Trajectory]) -> tuple[str, ...]:
    """The checks that a comparison with these trajectories makes."""
    images = any(trajectory.source is not None for trajectory in trajectories)
    return planned_checks(depth, images, any(trajectory.hints is not None for trajectory in trajectories))


def measure(
    runtime: str,
    runner: Runner,
    reference: Trajectory,
    settings: DrawSettings,
    table: StepTable,
    depth: str = "trajectory",
) -> tuple[list[Measurement], Floats]:
    """Compare a runner with a record; also returns its picture, drawn by itself or (depth "step") only decoded."""
    run_stage = checked(runner, settings)
    own = encode_texts(run_stage, reference.prompts)
    pairs: list[Pair] = [("encode_text", None, wanted, own[name]) for name, wanted in reference.contexts.items()]
    encoded = None
    if reference.source is not None and reference.encoded is not None:
        encoded = encode_picture(run_stage, settings, reference.source)
        pairs.append(("encode_image", None, reference.encoded, encoded))
    features = None
    if reference.hints is not None and reference.hint_features is not None:
        features = run_stage(HINT, hints=reference.hints)["hint_features"]
        pairs.append((HINT, None, reference.hint_features, features))
    pairs += _teacher_forced(run_stage, reference, settings, table)
    states = _free_running(runner, reference, settings, own, encoded, features) if depth == "trajectory" else None
    picture = decode_picture(run_stage, settings, latents_of(reference.states[-1:], settings))
    pairs.append(("decode_image", None, reference.image, picture))
    if states is not None:
        first = reference.step(0, settings)
        numbered = enumerate(zip(reference.states[1:], states[1:], strict=True), first)
        pairs += [("free_running", step, wanted, found) for step, (wanted, found) in numbered]
        picture = decode_picture(run_stage, settings, latents_of(states[-1:], settings))
        pairs.append(("picture", None, reference.image, picture))
    return [_measurement(runtime, str(reference.case), *pair) for pair in pairs], np.asarray(picture, np.float32)


def _teacher_forced(
    run_stage: RunStage, reference: Trajectory, settings: DrawSettings, table: StepTable
) -> Iterator[Pair]:
    """Every step from the reference's state: the state after it, and the network's output inside its latents."""
    constant, seed = reference.conditions(settings), reference.case.seed
    for number in range(reference.steps):
        step, state = reference.step(number, settings), reference.state(number, settings)
        wanted = reference.states[number + 1][None]
        found = joined(denoise(run_stage, settings, constant, state, reference.row(number, settings), seed))
        yield "denoise", step, wanted, found
        if found.shape == wanted.shape:
            rest, factor = without_output(reference.step_inputs(number, settings), table)
            output, found_output = ((latents_of(each, settings) - rest) / factor for each in (wanted, found))
            yield "prediction", step, output, found_output


def without_output(inputs: Mapping[str, NDArray[Any]], table: StepTable) -> tuple[NDArray[np.float64], float]:
    """The part of the next latents that does not come from the network, and the factor of its output.

    `inputs` are those of `denoise` at one step.
    """
    step = int(inputs["step"][0])
    *weights, factor = table.update[step][0]
    state = [inputs["latents"], *([inputs["memory"]] if "memory" in inputs else [])]
    tensors = np.split(np.concatenate(state, axis=1, dtype=np.float64), len(weights), axis=1)
    rest = sum(weight * tensor for weight, tensor in zip(weights, tensors, strict=True))
    return rest + table.noise[step] * np.asarray(inputs.get("noise", 0.0), np.float64), factor


def _free_running(
    runner: Runner,
    reference: Trajectory,
    settings: DrawSettings,
    own: Mapping[str, np.ndarray],
    encoded: Floats | None,
    features: Floats | None,
) -> Floats:
    """All states (n + 1, ...) of the runner's own way, from its own contexts, encoded picture and hints."""
    rows, begin = settings.rows(reference.skipped)[: reference.steps], reference.begin(settings, encoded)
    constant = with_guidance(settings, own, reference.guidance) | reference.picture_inputs(settings, encoded)
    constant |= reference.hint_inputs(features) | reference.adapter_inputs()
    return record_states(runner, settings, constant, begin, rows, reference.case.seed)


def _measurement(
    runtime: str,
    case: str,
    check: str,
    step: int | None,
    reference: NDArray[np.floating],
    candidate: NDArray[np.floating],
) -> Measurement:
    distance: Callable[..., Metrics | PictureMetrics] = compare_pictures if check == "picture" else compare
    try:
        return Measurement(runtime, check, case, step, distance(reference, candidate))
    except ParityError as error:
        return Measurement(runtime, check, case, step, None, str(error))
