"""The settings that are shipped, and a whole run from folders to a checkpoint that draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.recipes.distil import distil
from mobile_diffusion.recipes.teacher_student import DistillationSettings
from mobile_diffusion.training.settings import LoopSettings, read_settings

TRAINING = Path(__file__).parents[3] / "assets" / "emoji" / "training"


@pytest.mark.parametrize(("name", "steps"), [("student-16", 16), ("student-8", 8), ("consistency", 8)])
def test_shipped_settings_are_read(name: str, steps: int) -> None:
    settings = read_settings(TRAINING / f"{name}.toml", DistillationSettings)
    assert settings.student_steps == steps


@pytest.mark.parametrize(("objective", "guidance"), [("steps", "cfg"), ("steps", "embedded"), ("consistency", "fixed")])
def test_a_run_ends_with_a_checkpoint_that_draws(objective: str, guidance: str, encoded: Path) -> None:
    loop = LoopSettings(steps=2, batch=2, learning_rate=1e-3, bfloat16=True)
    settings = DistillationSettings(
        4, loop, ("3d",), objective=objective, guidance=guidance, guidance_width=16, prompts=("a cat", "a dog")
    )
    distil(settings, encoded, encoded / "teacher", encoded / "run", encoded / "student")
    student = open_checkpoint(encoded / "student")
    assert student.config.schedule.steps == 4
    assert student.config.schedule.guidance_kind == ("cfg" if guidance == "cfg" else "distilled")
    picture = Pipeline.from_model(student).generate("a cat", seed=1)
    assert picture.shape == (32, 32, 3) and np.ptp(picture) > 0
    assert (encoded / "run" / "sheet-000002.png").exists()
