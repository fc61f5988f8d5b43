"""The tasks on a small model: what is compared with what, and that only the student learns."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.distillation.networks import guided_velocity, student_of
from mobile_diffusion.errors import ConfigError, TrainingError
from mobile_diffusion.recipes.consistency import ConsistencyTask, pseudo_huber
from mobile_diffusion.recipes.distil import StepTask
from mobile_diffusion.recipes.teacher_student import DistillationSettings
from mobile_diffusion.training.batches import Memory
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.loop import average_in, step_generator, train
from mobile_diffusion.training.run_folder import STATE
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.state import load_average
from mobile_diffusion.training.workers import BatchShare

LOOP = LoopSettings(steps=6, batch=4, learning_rate=1e-3, warmup=1, bfloat16=False, save_every=2, sheet_every=100)
SETTINGS = DistillationSettings(student_steps=4, loop=LOOP, styles=("3d",), prompts=("a cat",))
PLAIN: Any = {"steps": 4, "guidance": "cfg", "guidance_width": 16, "solver": "ddim"}


@pytest.fixture
def teacher(tiny_model: Model) -> Model:
    """A copy of its own: tasks set modes and flags."""
    return dataclasses.replace(tiny_model, unet=copy.deepcopy(tiny_model.unet))


@pytest.fixture
def inputs(tiny_model: Model) -> TrainingInputs:
    """Six pictures with two captions each."""
    generator = torch.Generator().manual_seed(2)
    channels, side = tiny_model.config.latent_shape[1:3]
    tokens, width = tiny_model.config.context_shape[1:]
    return TrainingInputs(
        latents=torch.randn(6, channels, side, side, generator=generator),
        contexts=torch.randn(13, tokens, width, generator=generator).half(),
        first_caption=1 + 2 * torch.arange(6),
        caption_count=torch.full((6,), 2),
    )


def task_of(teacher: Model, inputs: TrainingInputs, initial: Model | None = None, **changes: object) -> StepTask:
    settings = dataclasses.replace(SETTINGS, **changes)  # type: ignore[arg-type]
    return StepTask(settings, teacher, initial, Memory(inputs, torch.ones(6, dtype=torch.float64)))


@pytest.mark.parametrize("guidance", ["cfg", "fixed", "embedded"])
def test_gradients_reach_the_student_alone(guidance: str, teacher: Model, inputs: TrainingInputs) -> None:
    task = task_of(teacher, inputs, guidance=guidance)
    task.loss(0, step_generator(0, 0)).backward()  # type: ignore[no-untyped-call]
    assert all(value.grad is None for value in teacher.unet.parameters())
    assert any(value.grad is not None and bool(value.grad.any()) for value in task.module.parameters())


def test_a_student_that_does_what_two_steps_do_has_no_loss(
    teacher: Model, inputs: TrainingInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both networks see the true picture: v = (alpha z - x) / sigma."""
    task = task_of(teacher, inputs, original_share=0.0)
    known = torch.full((4, *inputs.latents.shape[1:]), 0.25)

    def oracle(unet: object, z: Tensor, t: Tensor, *rest: object) -> Tensor:
        alphas, sigmas = task.levels[0], task.levels[1]
        every = torch.cat([task.times, task.middle_times])
        at = torch.stack([(every == time).nonzero()[0, 0] for time in t])
        alpha, sigma = (torch.cat([getattr(alphas, n), getattr(sigmas, n)])[at] for n in ("alpha", "sigma"))
        return (alpha * z - known) / sigma

    monkeypatch.setattr("mobile_diffusion.recipes.distil.guided_velocity", oracle)
    assert float(task.loss(0, step_generator(0, 0))) < 1e-6


def test_guidance_by_hand(teacher: Model) -> None:
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(2, *teacher.config.latent_shape[1:], generator=generator)
    context, null = (torch.randn(n, *teacher.config.context_shape[1:], generator=generator) for n in (2, 1))
    times, scale = torch.tensor([900, 100]), torch.tensor([3.0, 7.0])
    found = guided_velocity(teacher.unet, z, times, context, null, scale)
    for index, w in enumerate((3.0, 7.0)):
        one = slice(index, index + 1)
        with_words = teacher.unet(z[one], times[one], context[one])
        without = teacher.unet(z[one], times[one], null)
        assert torch.allclose(found[one], w * with_words - (w - 1) * without, atol=1e-4)
    vanilla = guided_velocity(teacher.unet, z, times, context, null, None)
    assert torch.allclose(vanilla, teacher.unet(z, times, context), atol=1e-5)


def test_shares_and_ranges_of_batches(teacher: Model, inputs: TrainingInputs) -> None:
    task = task_of(teacher, inputs, guided_share=0.3)
    batches = [task.batch(0, step_generator(0, n)) for n in range(300)]
    guided = [batch.scale for batch in batches if batch.scale is not None]
    assert len(guided) / len(batches) == pytest.approx(0.3, abs=0.08)
    scales = torch.cat(guided)
    assert 2 <= scales.min() < 3 and 13 < scales.max() <= 14
    assert set(torch.cat([batch.index for batch in batches]).tolist()) == {0, 1, 2, 3}


def test_an_embedded_scale_begins_without_effect(teacher: Model) -> None:
    student = student_of(teacher, None, steps=4, guidance="embedded", guidance_width=16, solver="ddim")
    z = torch.randn(1, *teacher.config.latent_shape[1:], generator=torch.Generator().manual_seed(1))
    context = torch.zeros(1, *teacher.config.context_shape[1:])
    expected = teacher.unet(z, torch.tensor([500]), context)
    for scale in (2.0, 14.0):
        got = student.unet(z, torch.tensor([500]), context, torch.tensor([scale]))
        assert torch.allclose(got, expected, atol=1e-6)
    assert student.config.schedule.guidance_kind == "distilled" and student.config.schedule.steps == 4


def test_students_that_do_not_fit(teacher: Model, inputs: TrainingInputs) -> None:
    schedule = teacher.config.schedule
    for name, value in (("prediction", "epsilon"), ("beta_schedule", "linear"), ("train_steps", 500)):
        other = dataclasses.replace(schedule, **{name: value})  # type: ignore[arg-type]
        initial = dataclasses.replace(teacher, config=dataclasses.replace(teacher.config, schedule=other))
        with pytest.raises(ConfigError, match=f"expected the teacher's {name}"):
            student_of(teacher, initial, **PLAIN)
        if name == "prediction":
            with pytest.raises(ConfigError, match="teacher: expected prediction 'v', got 'epsilon'"):
                student_of(initial, None, **PLAIN)
    with pytest.raises(ConfigError, match="'fixed' or 'embedded' for objective 'consistency'"):
        settings = dataclasses.replace(SETTINGS, objective="consistency")
        ConsistencyTask(settings, teacher, None, Memory(inputs, torch.ones(6)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("student_steps", 0), ("guidance", "free"), ("objective", "x"), ("guided_share", 1.1), ("highest_guidance", 1.0)],
)
def test_settings_that_cannot_be(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        dataclasses.replace(SETTINGS, **{name: value})  # type: ignore[arg-type]


def test_a_killed_run_goes_on_as_it_would_have(teacher: Model, inputs: TrainingInputs, tmp_path: Path) -> None:
    whole = task_of(teacher, inputs)
    train(whole, tmp_path / "whole")
    cut = task_of(teacher, inputs)
    calls = 0

    def fail(step: int, generator: torch.Generator, part: BatchShare) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise KeyboardInterrupt
        return StepTask.loss(cut, step, generator, part)

    cut.loss = fail  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(cut, tmp_path / "cut")
    train(task_of(teacher, inputs), tmp_path / "cut")
    assert (tmp_path / "cut" / STATE).read_bytes() == (tmp_path / "whole" / STATE).read_bytes()


def test_nan_stops_with_the_step_and_keeps_the_last_state(
    teacher: Model, inputs: TrainingInputs, tmp_path: Path
) -> None:
    task = task_of(teacher, inputs)

    def spoilt(step: int, generator: torch.Generator, part: BatchShare) -> Tensor:
        loss = StepTask.loss(task, step, generator, part)
        return loss * float("nan") if step == 3 else loss

    task.loss = spoilt  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="step 3: expected a finite loss, got nan"):
        train(task, tmp_path)
    load_average(task.module, tmp_path / STATE)


def test_a_student_learns_its_teachers_steps(teacher: Model, inputs: TrainingInputs) -> None:
    """A student that begins with another last layer comes nearer on batches that it is not trained on."""
    other = copy.deepcopy(teacher.unet)
    torch.nn.init.zeros_(other.conv_out.weight)
    initial = dataclasses.replace(teacher, unet=other)
    task = task_of(teacher, inputs, initial, guidance="fixed")

    def held_out() -> float:
        with torch.no_grad():
            return sum(float(task.loss(0, step_generator(99, n))) for n in range(8))

    before = held_out()
    optimiser = torch.optim.AdamW(task.module.parameters(), lr=2e-3)
    for step in range(40):
        optimiser.zero_grad()
        task.loss(step, step_generator(0, step)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert held_out() < 0.5 * before


class Oracle(torch.nn.Module):
    """Sees the true picture at any level of a consistency task."""

    def __init__(self, task: ConsistencyTask, known: Tensor) -> None:
        super().__init__()
        self.task, self.known, self.config = task, known, task.module.config

    def forward(self, z: Tensor, t: Tensor, *rest: object) -> Tensor:
        """v = (alpha z - x) / sigma; where nothing is noise, the picture is z itself."""
        at = torch.stack([(self.task.times == time).nonzero()[0, 0] for time in t])
        now = self.task.levels.at(at)
        return torch.where(now.sigma > 0, (now.alpha * z - self.known) / now.sigma.clamp(min=1e-6), 0.0)


def test_a_consistent_student_has_no_loss(
    teacher: Model, inputs: TrainingInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(SETTINGS, objective="consistency", guidance="fixed")
    task = ConsistencyTask(settings, teacher, None, Memory(inputs, torch.ones(6, dtype=torch.float64)))
    before = float(task.loss(0, step_generator(0, 0)))
    task.module = Oracle(task, torch.full((4, *inputs.latents.shape[1:]), 0.25))  # type: ignore[assignment]
    monkeypatch.setattr(
        "mobile_diffusion.recipes.consistency.guided_velocity", lambda unet, z, t, *rest: task.module(z, t)
    )
    assert float(task.loss(0, step_generator(0, 0))) < 2e-4 < 0.01 < before


def test_the_loss_of_consistency_is_linear_far_away() -> None:
    assert float(pseudo_huber(torch.tensor([3.0]))) == pytest.approx(3.0 - 0.001, abs=1e-4)
    assert float(pseudo_huber(torch.tensor([0.0]))) == 0.0


def test_average_in_is_what_a_student_is_saved_with(teacher: Model, inputs: TrainingInputs, tmp_path: Path) -> None:
    task = task_of(teacher, inputs)
    state = train(task, tmp_path)
    trained = {name: value.clone() for name, value in task.module.named_parameters()}
    average_in(state)
    assert any(not torch.equal(value, trained[name]) for name, value in task.module.named_parameters())
