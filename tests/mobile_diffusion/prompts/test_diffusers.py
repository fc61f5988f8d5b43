"""Prompts of two windows, drawn with as diffusers' pipeline draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from assets.golden.weighted import COMMAS
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.noise import gaussian
from mobile_diffusion.pipeline import Pipeline
from tests.attentive import write_attentive

SEED, STEPS, SIDE = 5, 1, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_attentive(tmp_path_factory.mktemp("checkpoints") / "attentive")


def theirs(folder: Path) -> tuple[Any, Any]:
    """diffusers' pipeline, and a function that draws the last latents with it."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)

    def draw(shape: tuple[int, ...], **asked: Any) -> np.ndarray:
        noise, sides = torch.from_numpy(gaussian(SEED, shape)), {"height": 8 * shape[2], "width": 8 * shape[3]}
        given = {"latents": noise, "num_inference_steps": STEPS, "output_type": "latent", **sides}
        return pipeline(**given, **asked).images.numpy()

    return pipeline, draw


def ours(folder: Path, prompt: str, negative: str = "", **options: Any) -> np.ndarray:
    """Our last latents."""
    seen: list[np.ndarray] = []
    pipeline = Pipeline(
        open_checkpoint(folder, OpenOptions(steps=STEPS, guidance=5.0, height=SIDE, width=SIDE, **options))
    )
    pipeline.generate(prompt, SEED, None, None, lambda _, latents: seen.append(latents), negative)
    return seen[-1]


@torch.no_grad()
def windows_of(pipeline: Any, prompt: str, first: int, count: int = 2) -> torch.Tensor:
    """The context (1, 77 * count, D) of a prompt whose first window has `first` tokens, by transformers."""
    library = pipeline.tokenizer
    ids = library(prompt, add_special_tokens=False, truncation=False)["input_ids"]
    parts = [ids[:first], ids[first : first + 75], *[[]] * (count - 2)]
    rows = [[library.bos_token_id, *part, library.eos_token_id] for part in parts]
    rows = [row + [library.pad_token_id] * (77 - len(row)) for row in rows]
    return torch.cat([pipeline.text_encoder(torch.tensor([row]))[0] for row in rows], dim=1)


@pytest.mark.full
@pytest.mark.parametrize("prompt", [COMMAS, "a red apple"])
def test_two_windows(folder: Path, prompt: str) -> None:
    """The first moves what follows its last comma; the second leaves its second window empty."""
    drawn = ours(folder, prompt, "blurred", windows=2)
    pipeline, draw = theirs(folder)
    ids = pipeline.tokenizer(prompt, add_special_tokens=False, truncation=False)["input_ids"][:75]
    comma = pipeline.tokenizer.convert_tokens_to_ids(",</w>")
    first = max((place for place, token in enumerate(ids) if token == comma), default=74) + 1
    assert 56 <= first < 75 or prompt != COMMAS
    contexts = {"prompt_embeds": windows_of(pipeline, prompt, first)}
    contexts["negative_prompt_embeds"] = windows_of(pipeline, "blurred", 75)
    wanted = draw(drawn.shape, guidance_scale=5.0, **contexts)
    most = 1e-4 * np.abs(wanted).max()
    assert np.abs(drawn - wanted).max() <= most
    assert np.abs(drawn - ours(folder, prompt, "blurred")).max() > 5 * most, (
        "one window draws the same: nothing is shown"
    )
