"""Records what a runner computes while it draws one picture, with the drawing loop of every app (drawing.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from export.parity.trajectories import Case, Floats, Trajectory, joined, latents_of
from export.runners import Runner
from mobile_diffusion.drawing import (
    DrawSettings,
    LatentState,
    RunStage,
    encode_texts,
    first_state,
    skipped_steps,
    text_inputs,
    walk,
    with_guidance,
)
from mobile_diffusion.errors import ParityError
from mobile_diffusion.tokenization.tokenizer import Tokenizer


def record(
    runner: Runner,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    case: Case,
    depth: str = "trajectory",
    source: Floats | None = None,
) -> Trajectory:
    """Draw one picture with `runner` (PyTorch, for a reference) and keep every tensor.

    `source` is the picture that a case of strength below 1 redraws.  At depth "step" only the first step is made.
    """
    run_stage = checked(runner, settings)
    texts = text_inputs(tokenizer, settings, case.prompt)
    contexts = encode_texts(run_stage, texts)
    constant = with_guidance(settings, contexts, settings.guidance)
    encoded = None if source is None else run_stage("encode_image", image=source)["latents"]
    skipped = skipped_steps(settings, case.strength)
    rows = settings.rows(skipped)[: 1 if depth == "step" else None]
    begin = first_state(settings, case.seed, skipped, encoded)
    states = record_states(runner, settings, constant, begin, rows, case.seed)
    image = run_stage("decode_image", latents=latents_of(states[-1:], settings))["image"]
    return Trajectory(case, settings.guidance, texts, contexts, skipped, states, image, source, encoded)


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
        "denoise": ["latents", *["memory"] * (settings.memory > 0), *["output"] * (settings.guidance_shares != ())],
        "decode_image": ["image"],
    }

    def run_stage(stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        outputs = runner.run(stage, **arrays)
        if list(outputs) != expected[stage]:
            raise ParityError(f"{runner.name}: {stage}: expected the outputs {expected[stage]}, got {list(outputs)}")
        return outputs

    return run_stage
