"""The quality of an evolution: the distance of guided outputs, found again by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.recipes.evolve import example_of
from mobile_diffusion.recipes.unet import UNetSettings
from mobile_diffusion.schedule import alphas_sigmas
from mobile_diffusion.schedule.spacing import timesteps
from mobile_diffusion.slim import slim_unet
from mobile_diffusion.slimming.actions import apply, removals
from mobile_diffusion.slimming.closeness import guided_closeness
from mobile_diffusion.training.batches import Memory
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.settings import LoopSettings

SETTINGS = UNetSettings(LoopSettings(steps=1, batch=8, learning_rate=1e-3), ("3d",))


@pytest.fixture
def source(tiny_model: Model) -> Memory:
    generator = torch.Generator().manual_seed(1)
    inputs = TrainingInputs(
        torch.randn(3, *tiny_model.config.latent_shape[1:], generator=generator),
        torch.randn(4, *tiny_model.config.context_shape[1:], generator=generator).half(),
        torch.tensor([1, 2, 3]),
        torch.tensor([1, 1, 1]),
    )
    return Memory(inputs, torch.ones(3))


def kind_of(model: Model, kind: str) -> Model:
    schedule = dataclasses.replace(model.config.schedule, guidance_kind=kind)
    return dataclasses.replace(model, config=dataclasses.replace(model.config, schedule=schedule))


def test_the_full_network_is_at_no_distance_and_every_other_at_some(tiny_model: Model, source: Memory) -> None:
    tiny_model.unet.eval()
    quality = guided_closeness(tiny_model.unet, [example_of(tiny_model, SETTINGS, source, n) for n in range(2)])
    full = tiny_model.config.unet
    assert quality(full) == 0.0
    for action in removals(full):
        slimmer = quality(apply(full, action))
        assert slimmer < 0.0 and quality(apply(full, action)) == slimmer


@pytest.mark.parametrize("kind", ["cfg", "distilled"])
def test_the_distance_by_hand(kind: str, tiny_model: Model, source: Memory) -> None:
    model = kind_of(tiny_model, kind)
    config = apply(model.config.unet, removals(model.config.unet)[0])
    slim, _ = slim_unet(model.unet.eval(), config)
    example = example_of(model, SETTINGS, source, 0)
    scale = model.config.schedule.guidance
    outputs = []
    with torch.no_grad():
        for unet in (model.unet, slim.eval()):
            output = unet(example.latents, example.times, example.context)
            if kind == "cfg":
                null = source.inputs.contexts[:1].float().expand_as(example.context)
                without = unet(example.latents, example.times, null)
                output = without + scale * (output - without)
            outputs.append(output)
    expected = -float((outputs[0] - outputs[1]).square().mean())
    assert guided_closeness(model.unet, [example])(config) == pytest.approx(expected, rel=1e-4)


def test_examples_are_pictures_with_the_noise_of_the_samplers_steps(tiny_model: Model, source: Memory) -> None:
    example = example_of(tiny_model, SETTINGS, source, 5)
    schedule = tiny_model.config.schedule
    assert tuple(example.times.tolist()) == tuple(timesteps(schedule))  # eight samples, eight steps
    alphas, sigmas = alphas_sigmas(schedule)
    last = int(example.times[-1])
    clean = source.inputs.latents
    noises = (example.latents[-1].cpu() - float(alphas[last]) * clean) / float(sigmas[last])  # by each picture
    again = torch.equal(example_of(tiny_model, SETTINGS, source, 5).latents, example.latents)
    assert again and any(0.8 < float(noise.std()) < 1.2 for noise in noises)
    assert not torch.equal(example_of(tiny_model, SETTINGS, source, 6).latents, example.latents)
