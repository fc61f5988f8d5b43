"""SDXL and its relatives draw as diffusers' StableDiffusionXLPipeline draws, from small random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from mobile_diffusion.checkpoint import save_checkpoint
from mobile_diffusion.config import ClipPairConfig
from mobile_diffusion.drawing import Start
from mobile_diffusion.noise import gaussian
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.unet import embed_steps
from tests.mobile_diffusion.formats.conftest import Publish, copy_tree, edit_json
from tests.mobile_diffusion.formats.drawings import SEED, assert_equal
from tests.mobile_diffusion.formats.xl_drawings import PROMPT, opened, ours, their_pipeline, theirs

STEPS = 3
SMALLEST = "koala-700m"


@pytest.fixture
def koala(published: Publish, tmp_path: Path) -> Path:
    """A folder that a test may change: the smallest architecture."""
    return copy_tree(published(SMALLEST), tmp_path / SMALLEST)


@pytest.mark.parametrize("name", ["sdxl", "ssd-1b", "segmind-vega", "koala-1b"])
def test_architectures(name: str, published: Publish) -> None:
    model = opened(published(name), STEPS)
    assert (model.config.schedule.solver, model.config.schedule.guidance) == ("euler", 5.0)
    pipeline = their_pipeline(published(name))
    assert_equal(ours(model, None, "blurred!!"), theirs(pipeline, 5.0, "blurred!!", num_inference_steps=STEPS))


@pytest.mark.parametrize(
    ("guidance", "negative"), [(0.0, None), (1.0, None), (7.5, None), (7.5, "blurred"), (2.0, "  ")]
)
@pytest.mark.parametrize("zeros", [True, False])
def test_guidance_and_negative_prompts(guidance: float, negative: str | None, zeros: bool, koala: Path) -> None:
    """Without a negative prompt the null text is zeros, or else the encoded empty prompt."""
    edit_json(koala / "model_index.json", force_zeros_for_empty_prompt=zeros)
    drawn = theirs(their_pipeline(koala), guidance, negative, num_inference_steps=STEPS)
    assert_equal(ours(opened(koala, STEPS), guidance, negative or ""), drawn)


def test_the_empty_prompt_is_encoded(published: Publish) -> None:
    folder = published(SMALLEST)
    drawn = theirs(their_pipeline(folder), 5.0, None, "", num_inference_steps=STEPS)
    assert_equal(ours(opened(folder, STEPS), 5.0, prompt=""), drawn)


DISTILLED: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "lightning and turbo": (
        "EulerDiscreteScheduler",
        {"timestep_spacing": "trailing"},
        {"solver": "euler", "spacing": "trailing"},
        {"num_inference_steps": 4},
    ),
    "hyper": (
        "DDIMScheduler",
        {"timestep_spacing": "trailing"},
        {"solver": "ddim", "spacing": "trailing"},
        {"num_inference_steps": 4},
    ),
    "lcm": ("LCMScheduler", {}, {"solver": "lcm"}, {"num_inference_steps": 4}),
}


@pytest.mark.parametrize("kind", DISTILLED)
def test_schedules_of_distilled_models(kind: str, published: Publish) -> None:
    """As their model cards say: few steps, another scheduler, no guidance."""
    scheduler, changes, options, steps = DISTILLED[kind]
    pipeline = their_pipeline(published(SMALLEST))
    changes = {"clip_sample": False, "set_alpha_to_one": True} | changes if kind == "hyper" else changes
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config, **changes)
    model = opened(published(SMALLEST), 4, guidance=0.0, **options)
    assert_equal(ours(model, None), theirs(pipeline, 0.0, **steps))


def test_the_timesteps_of_dmd2(koala: Path) -> None:
    """Its model card gives them to LCM's scheduler one by one; here they follow from `original_inference_steps`."""
    pipeline = their_pipeline(koala)
    pipeline.scheduler = diffusers.LCMScheduler.from_config(pipeline.scheduler.config)
    drawn = theirs(pipeline, 0.0, timesteps=[999, 749, 499, 249])
    edit_json(koala / "scheduler" / "scheduler_config.json", original_inference_steps=4)
    assert_equal(ours(opened(koala, 4, solver="lcm", guidance=0.0), None), drawn)


def test_an_embedded_guidance_scale(published: Publish) -> None:
    model = opened(published("lcm-sdxl"), 4, guidance=8.0)  # of its model card
    assert model.config.schedule.guidance_kind == "distilled"
    assert_equal(ours(model, None), theirs(their_pipeline(published("lcm-sdxl")), 8.0, num_inference_steps=4))


def test_redrawing(published: Publish) -> None:
    folder, kind = published(SMALLEST), "StableDiffusionXLImg2ImgPipeline"
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    image = np.stack([ramp, ramp.T, np.full_like(ramp, 0.3)])[None]
    given = {"image": torch.from_numpy(image), "strength": 0.5, "num_inference_steps": 6}
    drawn = theirs(their_pipeline(folder, kind), 5.0, "blurred", **given)
    assert_equal(ours(opened(folder, 6), 5.0, "blurred", start=Start(image, 0.5)), drawn)


def test_the_size_of_the_picture_is_read(published: Publish) -> None:
    """Pictures that are not square, whose numbers differ from those of a square one."""
    model = opened(published(SMALLEST), STEPS, height=64, width=96)
    latents = torch.from_numpy(gaussian(SEED, (1, 4, 8, 12)))
    given = {"width": 96, "latents": latents, "num_inference_steps": STEPS}
    pipeline = Pipeline(model)
    timesteps = torch.tensor(pipeline.table.timesteps)
    conditions = pipeline.encode_text(tokens=torch.from_numpy(model.tokenizer.encode(PROMPT).ids)[None])
    shown, context = pipeline.table.inputs[0] * latents, conditions["context"]
    with torch.no_grad():
        time = embed_steps(model.config, model.unet, timesteps)[:1]
        predicted = model.unet.predict(shown, time, context, conditions["pooled"])
        other = model.unet.predict(shown, time, context, -conditions["pooled"])
        square = model.unet.embed_time(timesteps[:1], size=(1024, 1024))
        elsewhere = model.unet.predict(shown, square, context, conditions["pooled"])
    for changed in (other, elsewhere):  # both have an effect that the comparison below would notice
        assert (changed - predicted).abs().max() > 1e-2 * predicted.abs().max()
    drawn = theirs(their_pipeline(published(SMALLEST)), 0.0, **given)[0]
    state = latents
    for step in range(STEPS):
        state = pipeline.denoise(state, step, **conditions)["latents"]
    assert np.abs(state.numpy() - drawn).max() <= 1e-4 * np.abs(drawn).max()


def test_skipped_layers(published: Publish) -> None:
    """`--skip-layers` is diffusers' clip_skip: the pooled text stays that of the last layer.

    Without a negative prompt, because diffusers skips no layer of that.
    """
    drawn = theirs(their_pipeline(published(SMALLEST)), 5.0, None, num_inference_steps=STEPS, clip_skip=2)
    model = opened(published(SMALLEST), STEPS, skip_layers=2)
    assert isinstance(model.config.text, ClipPairConfig) and model.config.text.skipped == 3
    assert_equal(ours(model, 5.0), drawn)


def test_a_saved_checkpoint_draws_the_same(published: Publish, tmp_path: Path) -> None:
    model = opened(published(SMALLEST), STEPS)
    save_checkpoint(model, tmp_path / "saved")
    assert (tmp_path / "saved" / "tokenizer_2.json").is_file()
    again = opened(tmp_path / "saved", STEPS)
    assert again.config == model.config
    assert again.tokenizer.encode(PROMPT).ids.tolist() == model.tokenizer.encode(PROMPT).ids.tolist()
    before, after = ours(model, 5.0), ours(again, 5.0)
    assert np.abs(after[0] - before[0]).max() <= 2e-2 * np.abs(before[0]).max()  # weights are float16 on disk
