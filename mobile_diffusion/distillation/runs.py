"""A whole distillation, from settings and folders to a checkpoint: what `train distil` calls."""

from __future__ import annotations

from pathlib import Path

from mobile_diffusion.distillation.consistency import ConsistencyTask
from mobile_diffusion.distillation.settings import DistillationSettings
from mobile_diffusion.distillation.steps import StepTask
from mobile_diffusion.training.checkpoints import open_placed, save_trained, training_source
from mobile_diffusion.training.loop import train

TASKS: dict[str, type[StepTask] | type[ConsistencyTask]] = {"steps": StepTask, "consistency": ConsistencyTask}


def distil(
    settings: DistillationSettings, data: Path, teacher: Path, run: Path, out: Path, student: Path | None = None
) -> None:
    """Train a student and write it as a checkpoint to `out`, replacing one that is there.

    It begins with the weights of the checkpoint `student`, or with the teacher's.  Raises ConfigError when the two do
    not fit, or the teacher's grid of steps does not contain the student's, and TrainingError as the loop does.
    """
    teaching = open_placed(teacher)
    initial = open_placed(student) if student else None
    source = training_source(teaching, settings, settings.family_power, data, run)
    task = TASKS[settings.objective](settings, teaching, initial, source)
    save_trained(train(task, run), task.model, out)
