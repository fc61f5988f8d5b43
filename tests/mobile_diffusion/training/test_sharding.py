"""A network divided over processes trains as a whole one does, and its state is read by any number of processes."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.errors import ConfigError, TrainingError
from mobile_diffusion.recipes.consistency import ConsistencyTask
from mobile_diffusion.recipes.teacher_student import DistillationSettings
from mobile_diffusion.training.batches import Memory
from mobile_diffusion.training.loop import average_in, optimise, train
from mobile_diffusion.training.run_folder import STATE
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sharded_state import load_sharded_average, newest_state
from mobile_diffusion.training.sharding import checkpoint_blocks, shard, whole
from mobile_diffusion.training.state import TrainState
from mobile_diffusion.unet import UNet
from tests.mobile_diffusion.training.train_small import fail, inputs, losses, model_of, start, task_of

STEPS = 6
DIVIDED = {"kind": "robust", "shard": True, "checkpointing": True}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, UNet]:
    """A robust run of one process and a whole network, and the average of its weights."""
    run = tmp_path_factory.mktemp("plain")
    task = task_of(STEPS, "robust")
    average_in(train(task, run))
    return run, task.module


def assert_near(network: nn.Module, other: nn.Module) -> None:
    """The same weights up to orders of summation, which Adam turns into whole steps of single weights."""
    one, two = (torch.cat([value.detach().flatten() for value in each.parameters()]) for each in (network, other))
    assert float((one - two).norm() / two.norm()) < 1e-3


@pytest.mark.full
def test_killed_workers_and_resumes_with_two_one_and_two(plain: tuple[Path, UNet], tmp_path: Path) -> None:
    """Sums in another order change a loss of about one by some 1e-7 a step; 2e-5 is far below what a step changes."""
    run = tmp_path / "run"
    done = start(2, run, STEPS, **DIVIDED, fault=(1, 3, "kill"))
    assert done.returncode != 0 and "SIGKILL" in done.stderr
    assert newest_state(run) == run / "state-000000002"
    task = task_of(STEPS, **DIVIDED)
    fail(task, 0, 5, "interrupt")
    with pytest.raises(KeyboardInterrupt):
        train(task, run)
    assert newest_state(run) == run / "state-000000004"
    done = start(2, run, STEPS, **DIVIDED)
    assert done.returncode == 0, done.stderr[-2000:]
    assert losses(run) == pytest.approx(losses(plain[0]), abs=2e-5)
    assert [each.name for each in sorted(run.glob("state*"))] == ["state-000000006"]
    averaged = model_of().unet
    load_sharded_average(averaged, run / "state-000000006")
    assert_near(averaged, plain[1])
    assert_near(open_checkpoint(run / "checkpoint").unet, plain[1])


def test_a_lost_part_of_a_state_is_named(tmp_path: Path) -> None:
    train(task_of(2, **DIVIDED), tmp_path)
    folder = tmp_path / "state-000000002"
    (file,) = folder.iterdir()
    whole_file = file.read_bytes()
    for content in (whole_file[:1000], b"", whole_file[: len(whole_file) // 2]):
        file.write_bytes(content)
        with pytest.raises(TrainingError, match="state-000000002: expected a whole training state"):
            train(task_of(2, **DIVIDED), tmp_path)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(TrainingError, match="state-000000002: expected a whole training state"):
        load_sharded_average(model_of().unet, folder)


@pytest.mark.full
def test_a_loss_that_is_no_number_stops_every_process(tmp_path: Path) -> None:
    done = start(2, tmp_path, STEPS, **DIVIDED, fault=(1, 3, "nan"))
    assert done.returncode != 0
    assert "TrainingError: step 3: expected a finite loss, got nan" in done.stderr
    assert newest_state(tmp_path) == tmp_path / "state-000000002"
    assert len(losses(tmp_path)) == 3


@pytest.mark.parametrize("kind", ["unet", "robust"])
def test_blocks_that_are_computed_twice_give_the_same_curve(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    for name, checkpointing in (("kept", False), ("twice", True)):
        task = task_of(3, kind, checkpointing=checkpointing)
        counted = task.module.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1")
        counted.register_forward_hook(lambda *given, name=name: calls.append(name))
        train(task, tmp_path / name)
    assert losses(tmp_path / "kept") == pytest.approx(losses(tmp_path / "twice"), abs=1e-6)
    assert calls.count("twice") == 2 * calls.count("kept") > 0


@pytest.mark.parametrize("kind", ["unet", "robust"])
def test_a_sheet_of_a_divided_network_is_that_of_the_whole(kind: str, tmp_path: Path) -> None:
    for name, changes in (("whole", {}), ("divided", {"shard": True})):
        task = task_of(2, kind, sheet_every=1, **changes)
        task.training = dataclasses.replace(task.training, prompts=("a cat",))
        train(task, tmp_path / name)
    names = [sorted(each.name for each in (tmp_path / name).glob("*.png")) for name in ("whole", "divided")]
    assert names[0] == names[1] == ["sheet-000001.png", "sheet-000002.png"]
    for name in names[0]:
        one, two = (np.asarray(Image.open(tmp_path / each / name), np.float32) for each in ("whole", "divided"))
        assert one.std() > 0 and np.abs(one - two).mean() < 0.5


def learnt(changes: dict[str, bool]) -> float:
    """The loss of a consistency step, whose student also runs without gradients; every weight of it has moved."""
    loop = LoopSettings(steps=1, batch=4, learning_rate=1e-3, warmup=1, bfloat16=True, **changes)
    settings = DistillationSettings(4, loop, ("3d",), objective="consistency", guidance="fixed")
    task = ConsistencyTask(settings, model_of(), None, Memory(inputs(), torch.ones(5, dtype=torch.float64)))
    if loop.checkpointing:
        checkpoint_blocks(task.module)
    if loop.shard:
        shard(task.module)
    before = whole(task.module).state_dict()
    before = {name: value.clone() for name, value in before.items()}
    state = TrainState.start(task.module, torch.optim.AdamW(task.module.parameters(), lr=0.0))
    loss = optimise(task, state)
    after = whole(task.module)
    moved = [name for name, value in after.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) == len(list(after.parameters()))
    return loss


def test_a_divided_student_of_consistency_learns_in_all_its_weights() -> None:
    divided = learnt({"shard": True, "checkpointing": True})
    assert divided == pytest.approx(learnt({}), rel=1e-2)  # bfloat16 has 8 bits


def test_networks_that_cannot_be_divided(tiny_model: Model) -> None:
    with pytest.raises(ConfigError, match="loop.shard: expected a U-Net in training, got Autoencoder"):
        shard(tiny_model.autoencoder)
    with pytest.raises(ConfigError, match="loop.checkpointing: expected a network of blocks, got Linear"):
        checkpoint_blocks(nn.Linear(2, 2))


def test_a_divided_run_of_one_process_needs_no_torchrun(tmp_path: Path) -> None:
    task = task_of(2, shard=True)
    train(task, tmp_path)
    assert not (tmp_path / STATE).exists() and newest_state(tmp_path) == tmp_path / "state-000000002"
