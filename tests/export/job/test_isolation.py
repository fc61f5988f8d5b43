"""Lowering in a process of its own: the same program, the same errors, and no process left over."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from export.job import isolation
from export.job.isolation import lower_isolated
from export.targets import ONNX, load_runner
from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.errors import ExportError
from mobile_diffusion.formats.open_options import OpenOptions


def test_a_stage_is_lowered_with_the_options_of_the_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = open_source(tiny_checkpoint, OpenOptions(height=64, width=32))
    path = lower_isolated(checkpoint, ONNX, "decode_image", tmp_path)
    runner = load_runner(ONNX, tmp_path, {"decode_image": path}, threads=1)
    (session,) = runner.sessions.values()  # type: ignore[attr-defined]
    assert session.inputs[0].shape == (1, 4, 32, 16)
    assert multiprocessing.active_children() == []


def _killed(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _refused(*arguments: object) -> None:
    arguments[0].send(ExportError("no such operation"))  # type: ignore[attr-defined]


def test_a_killed_process_is_one_line(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_work", _killed)
    with pytest.raises(ExportError, match="ended with -9; .*no memory left"):
        lower_isolated(open_source(tiny_checkpoint), ONNX, "decode_image", tmp_path)


def test_an_error_comes_back_as_it_was(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_work", _refused)
    with pytest.raises(ExportError, match="^no such operation$"):
        lower_isolated(open_source(tiny_checkpoint), ONNX, "decode_image", tmp_path)
