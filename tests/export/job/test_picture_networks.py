"""Bundles of networks that read a picture at every step: inpainting ones, and ones that edit by an instruction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from export.artists.artist import bundle_artist
from export.bundle.bundle import Bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.golden import read_golden
from export.signatures import IMAGE_STAGES
from export.targets import TARGETS
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint, untrained_model
from mobile_diffusion.drawing import Start, draw
from mobile_diffusion.errors import PromptError
from mobile_diffusion.pipeline import Pipeline

CHANNELS = {"inpaint": 9, "edit": 8}
TARGET_OF = {"onnx": "android", "xnnpack": "android", "coreml": "ios", "coreai": "ios"}
RUNTIMES = ["onnx", *(pytest.param(name, marks=pytest.mark.full) for name in TARGET_OF if name != "onnx")]


def reading(model: Model, task: str) -> Model:
    """The tiny model with a U-Net for the task, and so with weights of its own.

    Norms are of several channels, as in every published autoencoder: one channel of a grey picture has no variance.
    """
    unet = dataclasses.replace(model.config.unet, in_channels=CHANNELS[task])
    schedule = dataclasses.replace(model.config.schedule, steps=3)
    autoencoder = dataclasses.replace(model.config.autoencoder, groups=4)
    torch.manual_seed(0)
    changed = dataclasses.replace(model.config, unet=unet, schedule=schedule, autoencoder=autoencoder)
    return untrained_model(changed, model.tokenizer)


def start_of(task: str) -> Start:
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    mask = np.zeros((1, 1, 32, 32), np.float32)
    mask[..., 7:24, 3:18] = 1
    picture = np.stack([ramp, ramp.T, 1 - ramp])[None]
    return Start(picture, mask=mask) if task == "inpaint" else Start(picture, image_guidance=3.0)


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=["inpaint", pytest.param("edit", marks=pytest.mark.full)])
def bundle(
    request: pytest.FixtureRequest,
    runtime: str,
    tiny_model: Model,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Bundle, Model, str]:
    folder, target = tmp_path_factory.mktemp("reading"), TARGET_OF[runtime]
    save_checkpoint(reading(tiny_model, request.param), folder / "checkpoint")
    model = open_checkpoint(folder / "checkpoint")
    plan = plan_export(model.config, TARGETS[target], [runtime], threads=1)
    return run_export(model, TARGETS[target], folder / "bundle", plan=plan).bundle, model, request.param


def test_the_bundle_draws_as_pytorch_does(bundle: tuple[Bundle, Model, str]) -> None:
    opened, model, task = bundle
    assert tuple(stage.name for stage in opened.manifest.stages) == IMAGE_STAGES
    assert opened.settings().task == task
    start, pipeline = start_of(task), Pipeline.from_model(model)
    expected = pipeline.generate("a red apple, 3d", 5, start=start)
    other = dataclasses.replace(start, image=1 - start.image)
    assert np.abs(pipeline.generate("a red apple, 3d", 5, start=other).astype(int) - expected).max() > 10
    artist = bundle_artist(opened, None, 1)
    ours = draw(artist.run_stage, artist.tokenizer, artist.settings, "a red apple, 3d", 5, start=start)
    limit = 1 if opened.manifest.runtimes[0].name in ("onnx", "xnnpack") else 8
    assert np.abs(ours.astype(int) - expected).max() <= limit


def test_verify_accepts_it_and_its_golden_vectors_hold_the_picture(
    bundle: tuple[Bundle, Model, str], runtime: str
) -> None:
    opened, _, task = bundle
    drawn, *_, redrawn = read_golden(opened.path)
    assert drawn.encoded is not None and (drawn.latent_mask is not None) == (task == "inpaint")
    if redrawn.latent_mask is not None:
        assert 0 < redrawn.latent_mask.mean() < 1 and redrawn.skipped == 0
    if runtime == "onnx":
        assert verify_bundle(opened.path, checkpoint=opened.path.parent / "checkpoint").passed


@pytest.mark.parametrize("task", CHANNELS)
def test_a_start_that_the_network_cannot_use_is_refused_at_once(task: str, tiny_model: Model) -> None:
    pipeline, start = Pipeline.from_model(reading(tiny_model, task)), start_of(task)
    wrong = {
        "inpaint": [
            (dataclasses.replace(start, mask=None), "mask: expected one with the picture"),
            (dataclasses.replace(start, mask=np.ones((1, 1, 16, 16), np.float32)), "mask: expected shape"),
            (dataclasses.replace(start, image_guidance=2.0), "image guidance: expected none"),
        ],
        "edit": [
            (None, "picture: expected one"),
            (dataclasses.replace(start, mask=np.ones((1, 1, 32, 32), np.float32)), "mask: expected none"),
            (dataclasses.replace(start, strength=0.5), "strength: expected 1"),
            (dataclasses.replace(start, image_guidance=0.5), "image guidance: expected a number from 1 to 30"),
            (dataclasses.replace(start, image_guidance=float("nan")), "image guidance: expected a number"),
        ],
    }
    for given, message in wrong[task]:
        with pytest.raises(PromptError, match=message):
            draw(None, None, pipeline.settings, "a", start=given)  # type: ignore[arg-type]
