"""Saving a checkpoint: whole or not at all, and nothing of anyone else's is touched."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch

from mobile_diffusion import checkpoint, staging
from mobile_diffusion.checkpoint import (
    Model,
    open_checkpoint,
    save_checkpoint,
)
from mobile_diffusion.errors import CheckpointError
from tests.mobile_diffusion.checkpoints import one_line, snapshot


def test_an_existing_folder_is_not_overwritten_unasked(model: Model, folder: Path) -> None:
    before = snapshot(folder.parent)
    assert "got one that exists" in one_line(lambda: save_checkpoint(model, folder))
    assert snapshot(folder.parent) == before


@pytest.mark.parametrize("name", ["model.json", "notes.txt"])
def test_only_a_checkpoint_is_overwritten(model: Model, tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / name).write_text("{}")
    before = snapshot(tmp_path)
    message = one_line(lambda: save_checkpoint(model, target, overwrite=True))
    assert "expected a checkpoint to overwrite" in message
    assert snapshot(tmp_path) == before


def test_overwriting_replaces_our_files_and_keeps_others(model: Model, folder: Path) -> None:
    (folder / "LICENSE").write_text("MIT")
    (folder / "samples").mkdir()
    (folder / "samples" / "apple.txt").write_text("apple")
    with torch.no_grad():
        model.unet.conv_in.weight.fill_(3.0)
    save_checkpoint(model, folder, overwrite=True)
    assert bool((open_checkpoint(folder).unet.conv_in.weight == 3.0).all())
    assert (folder / "LICENSE").read_text() == "MIT"
    assert (folder / "samples" / "apple.txt").read_text() == "apple"
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("interruption", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_old_checkpoint(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    before = snapshot(folder.parent)

    def stop(module: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise interruption

    monkeypatch.setattr(checkpoint, "save_weights", stop)
    with pytest.raises(CheckpointError if isinstance(interruption, OSError) else KeyboardInterrupt):
        save_checkpoint(model, folder, overwrite=True)
    assert snapshot(folder.parent) == before
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_a_failed_swap_brings_the_old_checkpoint_back(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(folder.parent)
    rename, calls = Path.rename, []

    def fail_second(source: Path, target: Path) -> Path:
        calls.append(source)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return rename(source, target)

    monkeypatch.setattr(staging, "_exchange", lambda first, second: False)
    monkeypatch.setattr(Path, "rename", fail_second)
    assert "Input/output error" in one_line(lambda: save_checkpoint(model, folder, overwrite=True))
    assert snapshot(folder.parent) == before


def test_a_file_in_the_way_of_the_parent(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = one_line(lambda: save_checkpoint(model, tmp_path / "file" / "out"))
    assert "expected a folder that can be written" in message


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_weights_that_do_not_fit_half_are_refused(model: Model, tmp_path: Path, value: float) -> None:
    with torch.no_grad():
        model.unet.conv_in.weight[0] = value
    message = one_line(lambda: save_checkpoint(model, tmp_path / "out"))
    assert "tensor 'conv_in.weight': expected values within float16" in message
    assert not list(tmp_path.iterdir())


def test_parents_are_made_and_permissions_are_usual(model: Model, tmp_path: Path) -> None:
    target = tmp_path / "runs" / "first"
    save_checkpoint(model, target)
    (tmp_path / "usual").mkdir()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


def test_too_little_room_is_said_before_anything_is_written(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(checkpoint, "save_weights", lambda *_: pytest.fail("weights were written"))
    message = one_line(lambda: save_checkpoint(model, tmp_path / "out"))
    assert "of free disk, got 0.00 GB; make room" in message and not list(tmp_path.iterdir())
