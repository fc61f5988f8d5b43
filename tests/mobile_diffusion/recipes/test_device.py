"""Every loss is computed on the network's device, whatever is drawn on the CPU.

The device is torch's "meta": it holds no numbers, but refuses to mix its tensors with those of the CPU as a GPU does.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.recipes import autoencoder as autoencoder_recipe
from mobile_diffusion.recipes.autoencoder import AutoencoderTask
from mobile_diffusion.recipes.consistency import ConsistencyTask
from mobile_diffusion.recipes.distil import StepTask
from mobile_diffusion.recipes.evolve import example_of
from mobile_diffusion.recipes.robust import RobustSettings, RobustTask
from mobile_diffusion.recipes.teacher_student import DistillationSettings
from mobile_diffusion.recipes.unet import UNetSettings, UNetTask
from mobile_diffusion.training.batches import Memory
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.loop import step_generator
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.workers import BatchShare
from mobile_diffusion.unet import UNet
from tests.mobile_diffusion.recipes.test_autoencoder_unet import AUTOENCODER, PixelDistance
from tests.tiny_models import WHOLE_TEXT, emoji_words, untrained

META = torch.device("meta")
LOOP = LoopSettings(steps=4, batch=4, learning_rate=1e-3)
UNET = UNetSettings(LOOP, ("3d",), min_snr=5.0)


@pytest.fixture(params=[META, torch.device("cpu")], ids=["all there", "inputs too large"])
def placed(request: pytest.FixtureRequest) -> tuple[Model, Memory]:
    """A U-Net on the device, with inputs that are there too, or that did not fit."""
    model = untrained(WHOLE_TEXT, emoji_words(12))
    first = torch.tensor([1, 3, 5])
    latents, contexts = torch.randn(3, *WHOLE_TEXT.latent_shape[1:]), torch.zeros(7, 12, 48).half()
    inputs = TrainingInputs(latents.to(request.param), contexts.to(request.param), first, torch.full((3,), 2))
    unet = UNet(WHOLE_TEXT.unet).to(META)
    return dataclasses.replace(model, unet=unet), Memory(inputs, torch.ones(3, dtype=torch.float64))


def test_mixing_is_refused() -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(2, device=META) + torch.zeros(2)


@pytest.mark.parametrize("part", [BatchShare(), BatchShare(1, 2)])
def test_unet(placed: tuple[Model, Memory], part: BatchShare) -> None:
    for task in (UNetTask(UNET, *placed), RobustTask(RobustSettings(UNET), *placed)):
        loss = task.loss(0, step_generator(0, 0), part)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.device == META


@pytest.mark.parametrize("guidance", ["cfg", "fixed", "embedded"])
def test_students(placed: tuple[Model, Memory], guidance: str) -> None:
    settings = DistillationSettings(4, LOOP, ("3d",), guidance=guidance, guided_share=1.0)
    model, source = placed
    tasks: list[StepTask | ConsistencyTask] = [StepTask(settings, model, None, source)]
    if guidance != "cfg":
        consistent = dataclasses.replace(settings, objective="consistency")
        tasks.append(ConsistencyTask(consistent, model, None, source))
    for task in tasks:
        assert task.loss(0, step_generator(0, 0)).device == META


def test_evolution(placed: tuple[Model, Memory]) -> None:
    model, source = placed
    example = example_of(model, UNET, source, 0)
    assert example.seen_by(model.unet).device == META


@pytest.mark.parametrize("step", [0, 3])
def test_autoencoder(step: int, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder_recipe, "load_lpips", lambda folder: PixelDistance())
    task = AutoencoderTask(AUTOENCODER, data, data, META)
    assert task.images.device == META and task.loss(step, step_generator(0, step)).device == META
