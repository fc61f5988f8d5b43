"""Inputs of every stage, recorded while PyTorch draws; static quantization chooses its scales from them.

Prompts and seeds differ from those of the parity checks, so that a program is not judged on its calibration data.  All
steps of the schedule are recorded, because activations change in size from the first to the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from export.parity.record import record
from export.parity.trajectories import Case, Trajectory, latents_of
from export.runners import Runner
from export.signatures import HINT
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.prompts.reading import split_windows
from mobile_diffusion.tiles import image_tiles, latent_tiles
from mobile_diffusion.tokenization.tokenizer import Tokenizer

StageSamples = tuple[Mapping[str, Tensor], ...]
"""Inputs of one stage by name, one mapping per call."""
Samples = Mapping[str, StageSamples]
"""Stage -> its samples."""

CALIBRATION_CASES = (
    Case("a grinning face", 101),
    Case("a green tree on a hill, drawn in 3d", 102),
    Case("a yellow taxi", 103),
    Case("a bowl of noodles, flat", 104),
    Case("blue heart", 105),
    Case("a dog playing with a ball in the park at sunset", 106),
)
LARGE_CASES = CALIBRATION_CASES[:2]
"""For a model that needs many minutes per trajectory."""
LEAST_PROMPTS = 3
MOST_PROMPTS = 64
FIRST_SEED = 101


def read_prompts(path: Path) -> tuple[Case, ...]:
    """A user's calibration prompts, one per line; empty lines and repetitions are skipped.

    Raises `ConfigError` if the file cannot be read or has fewer than LEAST_PROMPTS or more than MOST_PROMPTS.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"calibration: expected a text file with a prompt a line at {path}, got {error}") from error
    prompts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not LEAST_PROMPTS <= len(prompts) <= MOST_PROMPTS:
        raise ConfigError(
            f"calibration: expected {LEAST_PROMPTS} to {MOST_PROMPTS} different prompts, one a line, "
            f"got {len(prompts)} in {path}"
        )
    return tuple(Case(prompt, FIRST_SEED + number) for number, prompt in enumerate(prompts))


def collect(
    reference: Runner,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    cases: Sequence[Case] = CALIBRATION_CASES,
    depth: str = "trajectory",
) -> Samples:
    """The inputs of each stage while `reference` draws `cases`, at all steps (or the first) with default guidance."""
    return stage_inputs([record(reference, tokenizer, settings, case, depth) for case in cases], settings)


def stage_inputs(drawn: Sequence[Trajectory], settings: DrawSettings) -> Samples:
    """The inputs of each stage in some drawings, at every step that was recorded."""
    return {
        "encode_text": tuple(_tensors(inputs) for inputs in _texts(drawn)),
        "denoise": tuple(
            _tensors(each.step_inputs(number, settings)) for each in drawn for number in range(each.steps)
        ),
        "decode_image": tuple(
            _tensors({"latents": tile})
            for each in drawn
            for tile in latent_tiles(settings, latents_of(each.states[-1:], settings))
        ),
        "encode_image": tuple(
            _tensors({"image": tile}) for each in drawn for tile in image_tiles(settings, each.image)
        ),
        HINT: tuple(_tensors({"hints": each.hints}) for each in drawn[:1] if each.hints is not None),
    }


def _texts(drawn: Sequence[Trajectory]) -> Iterator[Mapping[str, np.ndarray]]:
    """Every prompt, and once the null prompt, which is the same for all."""
    for each in drawn:
        yield from split_windows(each.prompts["context"])
    for name, inputs in drawn[0].prompts.items():
        if name != "context":
            yield from split_windows(inputs)


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
