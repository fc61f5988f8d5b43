"""The model in assets/emoji: it opens, is as small as it must be, and draws what its prompt says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.checkpoint import open_checkpoint, open_source
from mobile_diffusion.config import UNetConfig
from mobile_diffusion.config_json import from_dict
from mobile_diffusion.inspection import stage_costs
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.presets import preset

EMOJI = Path(__file__).parents[2] / "assets" / "emoji"
LARGEST = 64 * 2**20
"""Bytes of weights, the text encoder apart, which is a published one."""


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.from_model(open_checkpoint(EMOJI))


def colour(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean red, green and blue, 0 to 1, of what is not nearly white; (H, W, 3) -> (3,)."""
    drawn = picture[picture.min(axis=-1) < 200] / 255  # (n, 3)
    assert len(drawn) > picture.shape[0] * picture.shape[1] / 20
    return np.asarray(drawn.mean(axis=0))


def test_it_is_what_the_method_ends_with() -> None:
    """The U-Net of the committed evolution, one evaluation in each of 8 steps, and a decoder of half the channels."""
    config, wide = open_source(EMOJI).config, preset("emoji-wide")
    decisions = json.loads((EMOJI / "training" / "evolution.json").read_text())["decisions"]
    assert config.unet == from_dict(UNetConfig, decisions[-1]["unet"])
    assert config.schedule == dataclasses.replace(wide.schedule, steps=8, guidance_kind="distilled")
    assert isinstance(config.autoencoder, AutoencoderConfig)
    assert config.autoencoder.decoder_channels == tuple(count // 2 for count in config.autoencoder.channels)


def test_a_step_of_it_is_a_third_of_the_work_of_the_wide_ones() -> None:
    """Of one evaluation, and of the two that guidance takes."""
    configs = open_source(EMOJI).config, preset("emoji-wide")
    assert [config.schedule.guidance_kind for config in configs] == ["distilled", "cfg"]
    ours, theirs = ({stage.name: stage.macs for stage in stage_costs(config)} for config in configs)
    assert 0 < 3 * ours["denoise"] < theirs["denoise"]


def test_its_weights_are_half_precision_and_small() -> None:
    for file in EMOJI.glob("*.safetensors"):
        with safe_open(file, framework="numpy") as weights:
            assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118
    assert sum((EMOJI / f"{part}.safetensors").stat().st_size for part in ("unet", "autoencoder")) <= LARGEST


@pytest.mark.parametrize(("name", "brightest"), [("red", 0), ("green", 1), ("blue", 2)])
def test_it_draws_the_colour_that_is_asked_for(name: str, brightest: int, pipeline: Pipeline) -> None:
    means = colour(pipeline.generate(f"{name} heart, 3d", seed=7))
    assert means.argmax() == brightest and means[brightest] > 1.3 * np.delete(means, brightest).max()
