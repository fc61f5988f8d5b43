"""The autoencoder's and the U-Net's tasks on a tiny data set of drawn discs and squares."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.training_utils import compute_snr
from safetensors.torch import load_file

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.config import ScheduleConfig, UNetConfig, UNetLevel
from mobile_diffusion.data import Sample, captions
from mobile_diffusion.errors import CheckpointError, ConfigError, DataError, TrainingError
from mobile_diffusion.presets import preset
from mobile_diffusion.recipes import autoencoder as autoencoder_recipe
from mobile_diffusion.recipes.autoencoder import (
    AutoencoderSettings,
    AutoencoderTask,
    kl_divergence,
    open_autoencoder,
    start_posterior_narrow,
    train_autoencoder,
)
from mobile_diffusion.recipes.unet import UNetSettings, UNetTask, loss_weights, stratified_timesteps, train_unet
from mobile_diffusion.schedule import alphas_sigmas
from mobile_diffusion.training.batches import Memory, choose_captions, family_weights
from mobile_diffusion.training.images import choose_groups, choose_samples, psnr
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.settings import LoopSettings

ASSETS = Path(__file__).parents[3] / "assets" / "emoji"
LOOP = LoopSettings(steps=4, batch=4, learning_rate=1e-3, warmup=1, bfloat16=False, save_every=2, sheet_every=4)
AUTOENCODER = AutoencoderSettings(
    autoencoder=AutoencoderConfig(channels=(8, 8, 8, 8), resnets=1, groups=4, scaling_factor=1.0),
    loop=LOOP,
    styles=("3d",),
    whole_steps=2,
    perceptual_steps=2,
)
UNET = UNetSettings(
    unet=UNetConfig(
        down=(UNetLevel(16, 1, 1), UNetLevel(16, 1, 0)),
        mid=None,
        up=(UNetLevel(16, 2, 0), UNetLevel(16, 2, 1)),
        context_width=384,
        heads=2,
        groups=8,
    ),
    loop=LOOP,
    styles=("3d",),
    schedule=ScheduleConfig(beta_schedule="cosine", prediction="v", guidance=3.0, steps=2),
    prompts=("a disc, 3d",),
)


class PixelDistance(torch.nn.Module):
    """Stands where LPIPS does: its weights come from a registry, which no test may ask."""

    def forward(self, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        return (images - others).square().mean(dim=(1, 2, 3))


def test_from_pictures_to_a_checkpoint(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder_recipe, "load_lpips", lambda folder: PixelDistance())
    quality = train_autoencoder(AUTOENCODER, data, tmp_path / "weights", tmp_path / "autoencoder")
    assert np.isfinite(quality)
    result = json.loads((tmp_path / "autoencoder" / "autoencoder.json").read_text())
    assert result["held_out_psnr_db"] == pytest.approx(quality, abs=1e-3)
    train_unet(UNET, data, tmp_path / "autoencoder", ASSETS, tmp_path / "unet", tmp_path / "model")
    model = open_checkpoint(tmp_path / "model")
    assert model.config.unet == UNET.unet and model.config.schedule == UNET.schedule
    assert model.config.autoencoder.scaling_factor == result["config"]["scaling_factor"]
    assert (tmp_path / "unet" / "sheet-000004.png").exists()
    train_unet(UNET, data, tmp_path / "autoencoder", ASSETS, tmp_path / "second", tmp_path / "model", tmp_path / "unet")
    assert open_checkpoint(tmp_path / "model").source_hash != model.source_hash
    with pytest.raises(TrainingError, match="start_sha256 = .* choose another --run"):
        train_unet(UNET, data, tmp_path / "autoencoder", ASSETS, tmp_path / "second", tmp_path / "model")
    with pytest.raises(TrainingError, match="give its run"):
        train_unet(UNET, data, tmp_path / "autoencoder", ASSETS, tmp_path / "third", start=tmp_path)
    inputs = TrainingInputs(**load_file(tmp_path / "unet" / "inputs.safetensors"))
    assert inputs.latents.std() == pytest.approx(1.0, abs=0.05)


def test_an_autoencoder_continues_a_finished_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder_recipe, "load_lpips", lambda folder: PixelDistance())
    first, second, given = tmp_path / "first", tmp_path / "second", (data, tmp_path / "weights")
    train_autoencoder(AUTOENCODER, *given, first)
    task = AutoencoderTask(AUTOENCODER, *given, torch.device("cpu"), open_autoencoder(first))
    stored = load_file(first / "autoencoder.safetensors")
    assert all(torch.equal(value, stored[name].float()) for name, value in task.module.state_dict().items())
    train_autoencoder(AUTOENCODER, *given, second, start=first)
    assert json.loads((second / "settings.json").read_text())["start_sha256"] == task.settings.start_sha256 != ""
    for start in (None, second):  # an own resumption is fine, one from other weights is not
        with pytest.raises(TrainingError, match="start_sha256 = .* choose another --run"):
            train_autoencoder(AUTOENCODER, *given, second, start=start)
    train_autoencoder(AUTOENCODER, *given, second, start=first)
    wider = dataclasses.replace(AUTOENCODER.autoencoder, channels=(8, 8, 8, 16))
    with pytest.raises(ConfigError, match=r"expected an autoencoder with channels .*16.*, got .*; fix \[autoencoder\]"):
        train_autoencoder(dataclasses.replace(AUTOENCODER, autoencoder=wider), *given, tmp_path / "third", start=first)
    with pytest.raises(CheckpointError, match="train one first"):
        train_autoencoder(AUTOENCODER, *given, tmp_path / "third", start=tmp_path)


def test_missing_style_and_missing_autoencoder_are_named(data: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(UNET, styles=("clay",))
    with pytest.raises(CheckpointError, match="train one first"):
        train_unet(settings, data, tmp_path / "none", ASSETS, tmp_path / "unet", None)
    with pytest.raises(DataError, match="'clay'"):
        choose_samples(data, ("clay",), "train")
    with pytest.raises(DataError, match="'clouds'"):
        choose_groups(choose_samples(data, ("3d",), "train"), ("clouds",))


def test_groups(data: Path) -> None:
    samples = choose_samples(data, ("3d",), "train")
    assert len(choose_groups(samples, ("objects",))) == len(samples) - 1
    assert choose_groups(samples, ()) == samples


def test_posterior_starts_narrow() -> None:
    torch.manual_seed(0)
    autoencoder = Autoencoder(AUTOENCODER.autoencoder)
    start_posterior_narrow(autoencoder)
    _, log_variance = autoencoder.encode(torch.rand(1, 3, 32, 32))
    assert torch.equal(log_variance, torch.full_like(log_variance, -6.0))


def test_kl_and_psnr_by_hand() -> None:
    mean, log_variance = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0])
    assert kl_divergence(mean, log_variance).item() == pytest.approx(0.25)
    normals = (torch.distributions.Normal(0.3, 0.5), torch.distributions.Normal(0.0, 1.0))
    exact = torch.distributions.kl_divergence(*normals)
    ours = kl_divergence(torch.tensor([0.3]), torch.tensor([0.25]).log())
    assert ours.item() == pytest.approx(exact.item(), abs=1e-6)
    # half a grey level of 2 everywhere: 10 log10(4 / 0.01)
    assert psnr(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1)).item() == pytest.approx(26.0206, abs=1e-3)


def test_family_weights() -> None:
    def sample(family: str) -> Any:
        return type("Row", (), {"family": family})()

    weights = family_weights([sample("clock")] * 4 + [sample("pizza")], power=0.5)
    assert weights.tolist() == [0.5] * 4 + [1.0]


def test_timesteps_are_stratified() -> None:
    timesteps = stratified_timesteps(10, 1000, 1.0, torch.Generator().manual_seed(0))
    assert [int(t) // 100 for t in timesteps] == list(range(10))
    skewed = stratified_timesteps(10000, 1000, 0.5, torch.Generator().manual_seed(0))
    assert (skewed >= 500).float().mean().item() == pytest.approx(0.75, abs=0.001)
    assert skewed.min() >= 0 and skewed.max() == 999


def test_captions_labels_keywords_and_null() -> None:
    inputs = TrainingInputs(
        latents=torch.zeros(2, 1, 1, 1),
        contexts=torch.zeros(8, 1, 1),
        first_caption=torch.tensor([1, 4]),
        caption_count=torch.tensor([3, 4]),
    )
    chosen = torch.tensor([0, 1] * 2000)
    rows = choose_captions(inputs, chosen, 0.7, 0.1, torch.Generator().manual_seed(0))
    counts = torch.bincount(rows, minlength=8) / len(rows)
    assert counts[0] == pytest.approx(0.1, abs=0.02)
    assert counts[1] == pytest.approx(0.45 * (0.7 + 0.3 / 3), abs=0.03)
    assert counts[4] == pytest.approx(0.45 * (0.7 + 0.3 / 4), abs=0.03)
    assert set(rows[::2].tolist()) == {0, 1, 2, 3} and set(rows[1::2].tolist()) == {0, 4, 5, 6, 7}


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_perfect_prediction_has_no_loss(prediction: str) -> None:
    """A network that knows the clean latents (zero) predicts v or epsilon from the noisy ones exactly."""
    schedule = ScheduleConfig(beta_schedule="cosine", prediction=prediction)
    alphas, sigmas = (torch.from_numpy(table).float() for table in alphas_sigmas(schedule))

    class Oracle(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
            noise = noisy / sigmas[timesteps][:, None, None, None]
            return noise * (alphas[timesteps][:, None, None, None] if prediction == "v" else 1.0)

    inputs = TrainingInputs(
        torch.zeros(3, 4, 8, 8), torch.zeros(4, 5, 384).half(), torch.tensor([1, 2, 3]), torch.tensor([1, 1, 1])
    )
    config = dataclasses.replace(preset("emoji"), schedule=schedule)
    model = type("Holder", (), {"unet": Oracle(), "config": config})()
    task = UNetTask(UNET, model, Memory(inputs, torch.ones(3, dtype=torch.float64)))
    assert task.loss(0, torch.Generator().manual_seed(0)).item() < 1e-8


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_min_snr_weights_are_those_of_diffusers_script(prediction: str) -> None:
    """`compute_snr` of diffusers, and the lines after it in its script train_text_to_image.py."""
    schedule = ScheduleConfig(beta_schedule="scaled_linear", prediction=prediction)
    scheduler = diffusers.DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    snr = compute_snr(scheduler, torch.arange(1000)).double()
    expected = torch.stack([snr, torch.full_like(snr, 5.0)], dim=1).min(dim=1)[0]
    expected = expected / (snr + 1 if prediction == "v" else snr)
    alphas, sigmas = (torch.from_numpy(table).float() for table in alphas_sigmas(schedule))
    torch.testing.assert_close(loss_weights(alphas, sigmas, prediction, 5.0), expected.float(), rtol=1e-4, atol=1e-7)
    assert torch.equal(loss_weights(alphas, sigmas, prediction, 0.0), torch.ones(1000))


@pytest.mark.parametrize("gamma", [-1.0, float("nan"), float("inf")])
def test_min_snr_is_a_number(gamma: float) -> None:
    with pytest.raises(ConfigError, match="min_snr: expected 0 or a positive number, got"):
        dataclasses.replace(UNET, min_snr=gamma)


def test_the_loss_is_weighted(data: Path) -> None:
    """Of a network that predicts zero: the mean over samples of weight times squared target."""
    schedule = ScheduleConfig(beta_schedule="cosine", prediction="v")
    module = torch.nn.Linear(1, 1)
    module.forward = lambda noisy, timesteps, context: torch.zeros_like(noisy)  # type: ignore[method-assign]
    inputs = TrainingInputs(
        torch.randn(3, 4, 8, 8), torch.zeros(4, 5, 384).half(), torch.tensor([1, 2, 3]), torch.tensor([1, 1, 1])
    )
    config = dataclasses.replace(preset("emoji"), schedule=schedule)
    model = type("Holder", (), {"unet": module, "config": config})()
    losses = []
    for gamma in (0.0, 5.0):
        settings = dataclasses.replace(UNET, min_snr=gamma)
        task = UNetTask(settings, model, Memory(inputs, torch.ones(3, dtype=torch.float64)))
        losses.append(task.loss(0, torch.Generator().manual_seed(0)).item())
    # four strata of time steps; the target's square is about 1, so the ratio is the mean weight
    times = stratified_timesteps(4, 1000, 1.0, _after_pick())
    alphas, sigmas = (torch.from_numpy(table).float() for table in alphas_sigmas(schedule))
    weight = loss_weights(alphas, sigmas, "v", 5.0)[times].mean().item()
    assert losses[1] / losses[0] == pytest.approx(weight, rel=0.1)


def _after_pick() -> torch.Generator:
    """The generator of a step after its pictures are drawn."""
    generator = torch.Generator().manual_seed(0)
    torch.multinomial(torch.ones(3, dtype=torch.float64), 4, replacement=True, generator=generator)
    return generator


def test_captions_begin_with_the_label(data: Path) -> None:
    sample: Sample = choose_samples(data, ("3d",), "train")[1]
    assert captions(sample)[0] == "disc, 3d"
