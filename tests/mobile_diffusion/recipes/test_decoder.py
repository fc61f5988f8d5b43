"""Synthetic latents are what the sampler draws, and a slim decoder learns from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.errors import ConfigError, TrainingError
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.recipes import decoder as decoder_recipe
from mobile_diffusion.recipes.decoder import DecoderRecord, DecoderSettings, DecoderTask
from mobile_diffusion.slimming.synthetic import prepare_latents, sample_latents
from mobile_diffusion.training.loop import step_generator
from mobile_diffusion.training.settings import LoopSettings, read_settings

TRAINING = Path(__file__).parents[3] / "assets" / "emoji" / "training"
LOOP = LoopSettings(steps=4, batch=2, learning_rate=1e-3, bfloat16=False)


def contexts_of(model: Model, prompts: list[str]) -> torch.Tensor:
    pipeline = Pipeline.from_model(model)
    return torch.cat([pipeline.encode(prompt) for prompt in prompts]).clone()


@pytest.mark.parametrize("kind", ["cfg", "distilled"])
def test_latents_are_the_pipelines(kind: str, tiny_model: Model) -> None:
    schedule = dataclasses.replace(tiny_model.config.schedule, guidance_kind=kind)
    model = dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, schedule=schedule))
    contexts = contexts_of(model, ["", "a cat", "two red dogs"])
    found = sample_latents(model, contexts[1:], contexts[:1], torch.Generator().manual_seed(4))
    pipeline = Pipeline.from_model(model)
    start = torch.randn(2, *model.config.latent_shape[1:], generator=torch.Generator().manual_seed(4))
    for index in range(2):
        latents = start[index : index + 1]
        null = contexts[:1] if kind == "cfg" else None
        for step in range(8):
            given = (contexts[index + 1 : index + 2], null, schedule.guidance)
            latents = pipeline.denoise(latents, step, *given)["latents"]
        assert torch.allclose(found[index : index + 1], latents, atol=1e-4)


def test_a_solver_with_memory_is_refused(tiny_model: Model) -> None:
    schedule = dataclasses.replace(tiny_model.config.schedule, solver="dpm-solver++")
    model = dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, schedule=schedule))
    with pytest.raises(ConfigError, match="expected 'ddim' to sample latents with, got 'dpm-solver"):
        sample_latents(model, torch.zeros(1, 12, 48), torch.zeros(1, 12, 48), torch.Generator())


def test_latents_are_drawn_once(tiny_model: Model, tmp_path: Path) -> None:
    texts = ["a cat", "a dog"]
    first = prepare_latents(tiny_model, texts, 5, 2, 0, tmp_path)
    assert first.shape == (5, *tiny_model.config.latent_shape[1:])
    assert len({row.numpy().tobytes() for row in first}) == 5
    assert torch.equal(prepare_latents(tiny_model, texts, 5, 2, 0, tmp_path), first)


@pytest.mark.parametrize("change", ["checkpoint", "settings"])
def test_latents_of_another_origin_are_refused(change: str, tiny_model: Model, tmp_path: Path) -> None:
    prepare_latents(tiny_model, ["a cat"], 3, 2, 0, tmp_path)
    other = dataclasses.replace(tiny_model, source_hash="other") if change == "checkpoint" else tiny_model
    seed = 1 if change == "settings" else 0
    with pytest.raises(TrainingError, match=f"expected inputs made from {change} .*delete the file"):
        prepare_latents(other, ["a cat"], 3, 2, seed, tmp_path)


def test_the_slim_decoder_comes_nearer_to_the_full_one(tiny_model: Model) -> None:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(16, *tiny_model.config.latent_shape[1:], generator=generator)
    settings = DecoderRecord(LOOP, ("3d",))
    task = DecoderTask(settings, tiny_model.autoencoder, latents[:12], latents[12:])  # type: ignore[arg-type]
    before = task.held_out_psnr()
    optimiser = torch.optim.AdamW(task.module.parameters(), lr=2e-3)
    for step in range(40):
        optimiser.zero_grad()
        task.loss(step, step_generator(0, step)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert task.held_out_psnr() > before + 3
    assert all(value.grad is None for value in task.slim.encoder.parameters())


class Picture:
    """What a run has to know of a picture of which only the caption is wanted."""

    group = "food"


def test_a_run_ends_with_a_checkpoint_that_draws(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tiny_model, tmp_path / "full")
    monkeypatch.setattr("mobile_diffusion.training.checkpoints.choose_samples", lambda *given: [Picture(), Picture()])
    monkeypatch.setattr(decoder_recipe, "captions", lambda sample: ["a red apple, 3d"])
    settings = DecoderSettings(LOOP, ("3d",), latents=3, held_out=2, sampling_batch=2)
    quality = decoder_recipe.slim_decoder(settings, tmp_path, tmp_path / "full", tmp_path / "run", tmp_path / "slim")
    slim = open_checkpoint(tmp_path / "slim")
    assert slim.config.autoencoder.decoder_channels == (8, 16)  # type: ignore[union-attr]
    picture = Pipeline.from_model(slim).generate("a cat", seed=1)
    assert np.ptp(picture) > 0 and quality > 0
    assert (tmp_path / "run" / "sheet-000004.png").exists()
    (tmp_path / "run" / "latents.safetensors").unlink()
    with pytest.raises(TrainingError, match="model_sha256 = .* choose another --run"):
        decoder_recipe.slim_decoder(settings, tmp_path, tmp_path / "slim", tmp_path / "run", tmp_path / "other")


def test_shipped_settings_are_read() -> None:
    assert read_settings(TRAINING / "decoder.toml", DecoderSettings).share == 0.5
    with pytest.raises(ConfigError, match="latents: expected 1 or more"):
        DecoderSettings(LOOP, ("3d",), latents=0)
