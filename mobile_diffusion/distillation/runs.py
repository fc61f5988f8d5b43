"""A whole distillation, from settings and folders to a checkpoint: what `train distil` calls."""

from __future__ import annotations

from pathlib import Path

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.distillation.consistency import ConsistencyTask
from mobile_diffusion.distillation.settings import DistillationSettings
from mobile_diffusion.distillation.steps import StepTask
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.training.autoencoder import choose_samples
from mobile_diffusion.training.latents import prepare_inputs
from mobile_diffusion.training.loop import average_in, train
from mobile_diffusion.training.runs import choose_device, choose_groups
from mobile_diffusion.training.unet import family_weights

TASKS: dict[str, type[StepTask] | type[ConsistencyTask]] = {"steps": StepTask, "consistency": ConsistencyTask}


def distil(
    settings: DistillationSettings, data: Path, teacher: Path, run: Path, out: Path, student: Path | None = None
) -> None:
    """Train a student and write it as a checkpoint to `out`, replacing one that is there.

    It begins with the weights of the checkpoint `student`, or with the teacher's.  Raises ConfigError when the two do
    not fit, or the teacher's grid of steps does not contain the student's, and TrainingError as the loop does.
    """
    teaching = _open(teacher)
    initial = _open(student) if student else None
    if not isinstance(teaching.autoencoder, Autoencoder):
        raise ConfigError(f"{teacher}: expected an autoencoder of kind 'kl' to encode pictures, got a tiny one")
    samples = choose_groups(choose_samples(data, settings.styles, "train"), settings.groups)
    weights = family_weights(samples, settings.family_power)
    inputs = prepare_inputs(samples, teaching.autoencoder, teaching.tokenizer, teaching.text_encoder, run)
    task = TASKS[settings.objective](settings, teaching, initial, inputs, weights)
    average_in(train(task, run))
    save_checkpoint(task.model, out, overwrite=out.exists())


def _open(folder: Path) -> Model:
    model, device = open_checkpoint(folder), choose_device()
    for part in (model.text_encoder, model.autoencoder, model.unet):
        part.to(device)
    return model
