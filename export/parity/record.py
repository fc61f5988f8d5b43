"""Records what a runner computes while it draws one picture, with the drawing loop of every app (drawing.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from export.parity.trajectories import Case, Floats, Trajectory, joined, latents_of
from export.runners import Runner
from export.signatures import HINT
from mobile_diffusion.adapters import Adapters
from mobile_diffusion.drawing import (
    DrawSettings,
    LatentState,
    RunStage,
    encode_texts,
    skipped_steps,
    text_inputs,
    walk,
)
from mobile_diffusion.errors import ParityError
from mobile_diffusion.start import Start, read_picture
from mobile_diffusion.tiles import decode_picture, encode_picture
from mobile_diffusion.tokenization.tokenizer import Tokenizer


def record(
    runner: Runner,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    case: Case,
    depth: str = "trajectory",
    source: Floats | None = None,
    adapters: Adapters | None = None,
) -> Trajectory:
    """Draw one picture with `runner` (PyTorch, for a reference) and keep every tensor.

    `source` is the picture that a case of strength below 1 redraws, or that the network reads (`read_source`).  At
    depth "step" only the first step is made.  `adapters` are all on, each at another scale.
    """
    run_stage = checked(runner, settings)
    texts = text_inputs(tokenizer, settings, case.prompt)
    contexts = encode_texts(run_stage, texts)
    picture, mask = read_source(settings, source)
    encoded = None if picture is None else encode_picture(run_stage, settings, picture)
    skipped = skipped_steps(settings, case.strength)
    rows, nothing = settings.rows(skipped)[: 1 if depth == "step" else None], np.empty(0, np.float32)
    hints, scales = golden_hints(settings)
    features = None if hints is None else run_stage(HINT, hints=hints)["hint_features"]
    read = (picture, encoded, mask, hints, features, scales, *golden_adapters(settings, adapters))
    begun = Trajectory(case, settings.guidance, texts, contexts, skipped, nothing, nothing, *read)
    begin = begun.begin(settings, encoded)
    states = record_states(runner, settings, begun.conditions(settings), begin, rows, case.seed)
    image = decode_picture(run_stage, settings, latents_of(states[-1:], settings))
    return replace(begun, states=states, image=image)


def read_source(settings: DrawSettings, source: Floats | None) -> tuple[Floats | None, Floats | None]:
    """The picture (1, 3, H, W) that a case encodes, and the mask (1, 1, h, w) of an inpainting network.

    Such a network draws the right half of a `source` anew, and everything without one; an editing network reads a
    smooth picture where there is none.
    """
    if settings.task == "draw":
        return source, None
    *_, height, width = settings.image_shape
    if settings.task == "edit":
        return (smooth_picture(height, width) if source is None else source), None
    half = np.zeros((1, 1, height, width), np.float32)
    half[..., width // 2 :] = 1
    picture, mask = read_picture(settings, None if source is None else Start(source, mask=half))
    return picture, mask["mask"]


def smooth_picture(height: int, width: int) -> Floats:
    """A picture (1, 3, H, W) in [0, 1] with another slope in each channel."""
    rows, columns = np.mgrid[:height, :width] / (height + width - 2)
    return np.stack([2 * rows, 2 * columns, rows + columns])[None].clip(0, 1).astype(np.float32)


def golden_hints(settings: DrawSettings) -> tuple[Floats | None, Floats | None]:
    """The hints (n, 3, H, W) of every case, each another picture, and scales (n,), each another number; no random ones,
    so that a check can make them again."""
    count, (*_, height, width) = settings.controls, settings.image_shape
    if not count:
        return None, None
    smooth = smooth_picture(height, width)
    pictures = [np.roll(smooth, number * width // (count + 1), axis=-1) for number in range(1, count + 1)]
    return np.concatenate(pictures), np.array([1 - number / (2 * count) for number in range(count)], np.float32)


def golden_adapters(settings: DrawSettings, adapters: Adapters | None) -> tuple[Floats | None, Floats | None]:
    """The factors (n, r, P) of a model's adapters, zeros where they are not known, and a scale (n,) for each."""
    if not settings.adapters:
        return None, None
    factors = np.zeros(settings.adapters, np.float32) if adapters is None else np.stack(adapters.factors)
    count = len(factors)
    return factors, np.array([1 - number / (2 * count) for number in range(count)], np.float32)


def record_states(
    runner: Runner,
    settings: DrawSettings,
    constant: Mapping[str, np.ndarray],
    begin: LatentState,
    steps: Sequence[int],
    seed: int,
) -> Floats:
    """`begin` and the state after each of n steps, (n + 1, (1 + M) * C, h, w); ParityError for another shape."""
    states = [joined(begin)]
    for state in walk(checked(runner, settings), settings, constant, begin, steps, seed):
        states.append(joined(state))
        if states[-1].shape != states[0].shape:
            raise ParityError(f"{runner.name}: denoise: expected {states[0].shape}, got {states[-1].shape}")
    return np.concatenate(states)


def checked(runner: Runner, settings: DrawSettings) -> RunStage:
    """Runs the stages of a runner; raises `ParityError` unless each returns exactly the outputs that it should."""
    expected = {
        "encode_text": ["context", *["pooled"] * settings.pooled],
        "encode_image": ["latents"],
        HINT: ["hint_features"],
        "denoise": ["latents", *["memory"] * (settings.memory > 0), *["output"] * (settings.guidance_shares != ())],
        "decode_image": ["image"],
    }

    def run_stage(stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        outputs = runner.run(stage, **arrays)
        if list(outputs) != expected[stage]:
            raise ParityError(f"{runner.name}: {stage}: expected the outputs {expected[stage]}, got {list(outputs)}")
        return outputs

    return run_stage
