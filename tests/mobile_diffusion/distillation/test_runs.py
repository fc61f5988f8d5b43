"""The settings that are shipped, and a whole run from folders to a checkpoint that draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.distillation import runs
from mobile_diffusion.distillation.settings import DistillationSettings
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.training.latents import CACHE
from mobile_diffusion.training.settings import LoopSettings, read_settings

TRAINING = Path(__file__).parents[3] / "assets" / "emoji" / "training"


@pytest.mark.parametrize("name", ["student-16", "student-8"])
def test_shipped_settings_are_read(name: str) -> None:
    settings = read_settings(TRAINING / f"{name}.toml", DistillationSettings)
    assert settings.student_steps == int(name.partition("-")[2])


class Picture:
    """What a run has to know of a picture whose latents are in the cache."""

    group, family = "food", "apple"


@pytest.mark.parametrize(("objective", "guidance"), [("steps", "cfg"), ("steps", "embedded"), ("consistency", "fixed")])
def test_a_run_ends_with_a_checkpoint_that_draws(
    objective: str, guidance: str, tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tiny_model, tmp_path / "teacher")
    monkeypatch.setattr("mobile_diffusion.training.checkpoints.choose_samples", lambda *given: [Picture()] * 3)
    (tmp_path / "run").mkdir()
    generator = torch.Generator().manual_seed(1)
    tensors = {
        "latents": torch.randn(3, *tiny_model.config.latent_shape[1:], generator=generator),
        "contexts": torch.randn(4, *tiny_model.config.context_shape[1:], generator=generator).half(),
        "first_caption": torch.tensor([1, 2, 3]),
        "caption_count": torch.tensor([1, 1, 1]),
    }
    save_file(tensors, tmp_path / "run" / CACHE)
    loop = LoopSettings(steps=2, batch=2, learning_rate=1e-3, bfloat16=True)
    settings = DistillationSettings(
        4, loop, ("3d",), objective=objective, guidance=guidance, guidance_width=16, prompts=("a cat", "a dog")
    )
    runs.distil(settings, tmp_path, tmp_path / "teacher", tmp_path / "run", tmp_path / "student")
    student = open_checkpoint(tmp_path / "student")
    assert student.config.schedule.steps == 4
    assert student.config.schedule.guidance_kind == ("cfg" if guidance == "cfg" else "distilled")
    picture = Pipeline.from_model(student).generate("a cat", seed=1)
    assert picture.shape == (32, 32, 3) and np.ptp(picture) > 0
    assert (tmp_path / "run" / "sheet-000002.png").exists()
