"""Robust training and a whole evolution on a small model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.errors import ConfigError, TrainingError
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.recipes.evolve import LOG, evolve_checkpoint
from mobile_diffusion.recipes.robust import RobustSettings, RobustTask, train_robust
from mobile_diffusion.recipes.unet import UNetSettings
from mobile_diffusion.training.batches import Memory
from mobile_diffusion.training.latents import CACHE, TrainingInputs
from mobile_diffusion.training.loop import step_generator
from mobile_diffusion.training.settings import LoopSettings, read_settings
from tests.mobile_diffusion.recipes.conftest import Picture, origin
from tests.mobile_diffusion.slimming.test_evolution import table_of

TRAINING = Path(__file__).parents[3] / "assets" / "emoji" / "training"


@pytest.fixture
def settings(tiny_model: Model) -> RobustSettings:
    loop = LoopSettings(steps=2, batch=2, learning_rate=1e-2, warmup=1, bfloat16=False)
    training = UNetSettings(loop, ("3d",))
    return RobustSettings(training, skip=0.3, whole=0.25)


def tensors_of(model: Model) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "latents": torch.randn(3, *model.config.latent_shape[1:], generator=generator),
        "contexts": torch.randn(4, *model.config.context_shape[1:], generator=generator).half(),
        "first_caption": torch.tensor([1, 2, 3]),
        "caption_count": torch.tensor([1, 1, 1]),
    }


@pytest.fixture
def folder(tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint "full", and a run "run" whose inputs are there already."""
    save_checkpoint(tiny_model, tmp_path / "full")
    monkeypatch.setattr("mobile_diffusion.training.checkpoints.choose_samples", lambda *given: [Picture()] * 3)
    (tmp_path / "run").mkdir()
    save_file(tensors_of(tiny_model), tmp_path / "run" / CACHE, origin(tmp_path / "full"))
    return tmp_path


def test_blocks_are_left_out_as_often_as_asked(settings: RobustSettings, tiny_model: Model) -> None:
    task = RobustTask(settings, tiny_model, Memory(TrainingInputs(**tensors_of(tiny_model)), torch.ones(3)))
    drawn = [task.left_out(step_generator(0, number)) for number in range(600)]
    assert sum(not each for each in drawn) / 600 == pytest.approx(0.25 + 0.75 * 0.7 ** len(task.names), abs=0.06)
    shares = [sum(name in each for each in drawn) / 600 for name in task.names]
    assert all(share == pytest.approx(0.75 * 0.3, abs=0.06) for share in shares)
    assert drawn[5] == task.left_out(step_generator(0, 5))


def test_a_run_and_its_evolution(settings: RobustSettings, folder: Path, tiny_model: Model) -> None:
    train_robust(settings, folder, folder / "full", folder / "run", folder / "robust")
    again = dataclasses.replace(settings, skip=0.4)
    with pytest.raises(TrainingError, match=r"the run began with, skip = 0.3, got 0.4; choose another --run"):
        train_robust(again, folder, folder / "full", folder / "run", folder / "again")
    trained = open_checkpoint(folder / "robust")
    changed = [
        name
        for name, value in trained.unet.state_dict().items()
        if not torch.allclose(value, tiny_model.unet.state_dict()[name], atol=1e-3)
    ]
    assert changed
    table = table_of(tiny_model.config.unet)
    arguments = (2, folder, folder / "robust", folder / "run", folder / "slim")
    decisions = evolve_checkpoint(settings.training, table, table.total_ms - 0.2, *arguments)
    slim = open_checkpoint(folder / "slim")
    assert slim.config.unet == decisions[-1].unet and table.step_ms(slim.config.unet) <= table.total_ms - 0.2
    assert Pipeline.from_model(slim).generate("a cat", seed=1).shape == (32, 32, 3)
    log = json.loads((folder / "run" / LOG).read_text())
    assert [each["action"] for each in log["decisions"]] == [str(decision.action) for decision in decisions]
    assert log["start"]["step_ms"] == pytest.approx(table.total_ms)


def test_settings_and_tables_of_another_network(settings: RobustSettings, folder: Path, tiny_model: Model) -> None:
    with pytest.raises(ConfigError, match=r"training.unet: expected none, since the checkpoint's own is trained"):
        RobustSettings(dataclasses.replace(settings.training, unet=tiny_model.config.unet))
    with pytest.raises(ConfigError, match="latency table: expected the U-Net of .*, got another"):
        arguments = (1, folder, folder / "full", folder / "run", folder / "x")
        evolve_checkpoint(settings.training, table_of(), 9.0, *arguments)
    assert not (folder / "x").exists()


def test_shipped_settings_are_read() -> None:
    found = read_settings(TRAINING / "robust.toml", RobustSettings)
    assert found.training.unet is None and found.training.schedule is None
    with pytest.raises(ConfigError, match="skip: expected 0 or more and below 1"):
        dataclasses.replace(found, skip=1.0)
