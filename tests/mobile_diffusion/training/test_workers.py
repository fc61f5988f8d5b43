"""Two processes train as one does, and a run resumes with another number of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.training import workers
from mobile_diffusion.training.loop import train
from mobile_diffusion.training.run_folder import STATE
from mobile_diffusion.training.workers import WHOLE, BatchShare, own_parts
from tests.mobile_diffusion.training.train_small import losses, start, task_of

STEPS = 6


def assert_same(run: Path, other: Path) -> None:
    """The same curve and the same weights, up to orders of summation.

    Adam turns the rounding of a gradient that is almost zero into a whole step, so single weights may differ by one.
    """
    assert losses(run) == pytest.approx(losses(other), abs=2e-5)
    states = [load_file(folder / STATE) for folder in (run, other)]
    assert states[0].keys() == states[1].keys()
    names = [name for name in states[0] if name.startswith("module.")]
    one, two = (torch.cat([state[name].flatten() for name in names]) for state in states)
    assert float((one - two).norm() / two.norm()) < 1e-3


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    run = tmp_path_factory.mktemp("alone")
    train(task_of(STEPS), run)
    return run


def test_parts_are_the_whole() -> None:
    batch = torch.arange(12)
    parts = [BatchShare(index, 3).of(batch) for index in range(3)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(), batch)
    assert torch.equal(WHOLE.of(batch), batch)
    assert own_parts(6, 2) == [BatchShare(0, 2), BatchShare(1, 2)]
    with pytest.raises(ConfigError, match="batch: expected a multiple of 1 processes x 4 parts, got 6"):
        own_parts(6, 4)


def test_buckets_hold_every_gradient_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "BUCKET", 10)
    gradients = [torch.zeros(size) for size in (4, 6, 1, 25, 3, 7)]
    buckets = list(workers._buckets(gradients))
    assert [[len(each) for each in bucket] for bucket in buckets] == [[4, 6], [1], [25], [3, 7]]


def test_a_batch_in_parts_is_the_batch(alone: Path, tmp_path: Path) -> None:
    train(task_of(STEPS, accumulate=2), tmp_path)
    assert_same(tmp_path, alone)


def test_two_processes_train_as_one(alone: Path, tmp_path: Path) -> None:
    done = start(2, tmp_path / "run", STEPS)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_same(tmp_path / "run", alone)


def test_a_killed_worker_and_a_resume_with_another_number(alone: Path, tmp_path: Path) -> None:
    done = start(2, tmp_path / "run", STEPS, fault=(1, 3, "kill"))
    assert done.returncode != 0 and "SIGKILL" in done.stderr
    assert len(losses(tmp_path / "run")) in (2, 3)  # the step that was lost is not in the curve
    train(task_of(STEPS), tmp_path / "run")
    assert_same(tmp_path / "run", alone)
