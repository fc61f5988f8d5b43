"""The training loop: a killed run takes the steps it would have taken, bit for bit."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mobile_diffusion.errors import TrainingError
from mobile_diffusion.training.curve import CURVE
from mobile_diffusion.training.loop import average_in, learning_rate, train
from mobile_diffusion.training.run_folder import STATE
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.state import TrainState, load_average
from mobile_diffusion.training.workers import WHOLE, BatchShare

LOOP = LoopSettings(
    steps=12, batch=4, learning_rate=0.01, warmup=3, bfloat16=False, save_every=4, sheet_every=6, log_every=2
)


@dataclass(frozen=True)
class Settings:
    loop: LoopSettings


class Regression:
    """Learn the sum of three numbers; `kill_at` interrupts that step once."""

    def __init__(self, loop: LoopSettings = LOOP, kill_at: int | None = None, broken: bool = False) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 1))
        self.loop, self.settings = loop, Settings(loop)
        self.kill_at, self.broken = kill_at, broken
        self.sheets: list[str] = []

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        if step == self.kill_at:
            raise KeyboardInterrupt
        inputs = torch.randn(self.loop.batch, 3, generator=generator)
        error = self.module(inputs).squeeze(1) - inputs.sum(dim=1)
        return error.square().mean() * (float("nan") if self.broken else 1.0)

    def sheet(self, path: Path) -> None:
        self.sheets.append(path.name)


def weights(state: TrainState) -> list[Tensor]:
    return [*state.module.parameters(), *state.average.values()]


@pytest.mark.parametrize("kill_at", [1, 5, 8, 11])
def test_resumed_run_is_the_same_run(tmp_path: Path, kill_at: int) -> None:
    whole = train(Regression(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(Regression(kill_at=kill_at), tmp_path / "killed")
    resumed = train(Regression(), tmp_path / "killed")
    assert resumed.step == whole.step == LOOP.steps
    for left, right in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(left, right)
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / CURVE).read_text().splitlines()]
        for name in ("whole", "killed")
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 6


def test_a_sheet_that_was_interrupted_is_drawn_by_the_next_run(tmp_path: Path) -> None:
    class Interrupted(Regression):
        def sheet(self, path: Path) -> None:
            self.sheets.append(path.name)
            raise KeyboardInterrupt

    loop = replace(LOOP, sheet_every=LOOP.save_every)
    first, second = Interrupted(loop), Regression(loop)
    with pytest.raises(KeyboardInterrupt):
        train(first, tmp_path)
    train(second, tmp_path)
    assert second.sheets[0] == first.sheets[0]


class Terminated(Regression):
    """Gets SIGTERM while it computes the loss of a step."""

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        if step == 5:
            signal.raise_signal(signal.SIGTERM)
        return super().loss(step, generator, part)


def test_sigterm_saves_the_step_and_ends_the_run(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    whole = train(Regression(), tmp_path / "whole")
    with pytest.raises(TrainingError, match=r"stopped at step 6 by SIGTERM; start again, the run resumes"):
        train(Terminated(), tmp_path / "stopped")
    assert signal.getsignal(signal.SIGTERM) == before
    resumed = train(Regression(kill_at=5), tmp_path / "stopped")  # no step is taken twice
    for left, right in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(left, right)


def test_learns_and_draws(tmp_path: Path) -> None:
    task = Regression(LoopSettings(steps=400, batch=64, learning_rate=0.02, warmup=10, bfloat16=False, log_every=50))
    state = train(task, tmp_path)
    rows = [json.loads(line)["loss"] for line in (tmp_path / CURVE).read_text().splitlines()]
    assert rows[-1] < 0.1 * rows[0]
    assert task.sheets == ["sheet-000400.png"]
    before = [value.clone() for value in state.module.parameters()]
    average_in(state)
    assert not all(torch.equal(*pair) for pair in zip(before, state.module.parameters(), strict=True))
    average_in(state)
    assert all(torch.equal(*pair) for pair in zip(before, state.module.parameters(), strict=True))


def test_other_settings_are_refused(tmp_path: Path) -> None:
    train(Regression(), tmp_path)
    with pytest.raises(TrainingError, match="choose another --run"):
        train(Regression(LoopSettings(steps=13, batch=4, learning_rate=0.01)), tmp_path)


def test_damaged_state_is_refused(tmp_path: Path) -> None:
    train(Regression(), tmp_path)
    (tmp_path / STATE).write_bytes((tmp_path / STATE).read_bytes()[:100])
    with pytest.raises(TrainingError, match="delete the run"):
        train(Regression(), tmp_path)


def test_a_run_can_begin_with_the_average_of_another(tmp_path: Path) -> None:
    state = train(Regression(), tmp_path)
    other = Regression().module
    load_average(other, tmp_path / STATE)
    for left, right in zip(state.average.values(), other.parameters(), strict=True):
        assert torch.equal(left, right)
    with pytest.raises(TrainingError, match="of this module"):
        load_average(nn.Linear(2, 2), tmp_path / STATE)


def test_progress_names_step_loss_and_speed(tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    train(Regression(), tmp_path / "emoji", lambda what, part: seen.append((what, part)))
    assert [part for _, part in seen] == [(step + 1) / LOOP.steps for step in range(LOOP.steps)]
    assert seen[0][0] == f"emoji: step 1 of {LOOP.steps}"
    assert re.fullmatch(rf"emoji: step {LOOP.steps} of {LOOP.steps}, loss \d\.\d{{4}}, \d+ samples/s", seen[-1][0])


def test_nan_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="finite loss"):
        train(Regression(broken=True), tmp_path)


def test_learning_rate() -> None:
    settings = LoopSettings(steps=100, batch=1, learning_rate=1.0, warmup=10)
    assert learning_rate(settings, 0) == pytest.approx(0.1)
    assert learning_rate(settings, 9) == pytest.approx(1.0)
    assert learning_rate(settings, 55) == pytest.approx(0.5)
    assert learning_rate(settings, 100) == pytest.approx(0.0)
