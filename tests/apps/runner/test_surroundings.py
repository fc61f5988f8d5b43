"""Read-only storage, too little memory, Ctrl-C: the same picture, or one line and nothing half-done.

The clock is not tested: nothing that the runner reads or draws has a date, and it measures time with a clock that does
not follow the date (steady_clock).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.apps.conftest import reference
from tests.apps.runner.conftest import Run
from tests.apps.runner.test_drawing import pixels

NOBODY = 65534
STEPS = 8


@pytest.fixture
def read_only(guided: Path) -> Iterator[Path]:
    """A folder with a bundle that nobody may write to; outside of pytest's own, which others may not enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(guided, folder / "bundle")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def test_read_only_storage(read_only: Path, guided: Path, run: Run) -> None:
    user = NOBODY if os.getuid() == 0 else None  # root may write everywhere
    before = sorted(read_only.rglob("*"))
    arguments = ("--bundle", read_only / "bundle", "--prompt", "a cat", "--out")
    refused = run(*arguments, read_only / "a.png", user=user)
    assert (refused.returncode, refused.stderr.count("\n"), refused.stdout) == (2, 1, "")
    assert "a.png: expected a file that can be written" in refused.stderr
    assert sorted(read_only.rglob("*")) == before
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        done = run(*arguments, Path(name) / "a.png", user=user)
        assert done.returncode == 0, done.stderr
        assert np.array_equal(pixels(Path(name) / "a.png"), reference(guided, "a cat", 0))
    assert sorted(read_only.rglob("*")) == before


def test_too_little_memory(guided: Path, run: Run, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    lines = []
    for megabytes in range(10, 120):
        done = run("--bundle", guided, "--prompt", "a cat", "--out", image, address_space=megabytes << 20)
        if done.returncode == 0:
            break
        if done.returncode == 127:  # the system's loader, before the program begins
            continue
        assert done.returncode == 2 and done.stdout == "" and not image.exists(), (megabytes, done.stderr)
        lines.append(done.stderr)
    assert image.exists() and len(lines) > 5
    assert all("expected enough memory" in line and line.count("\n") == 1 for line in lines)
    assert {name for name in ("encode_text", "denoise") if any(name in line for line in lines)}, "none while loading"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_an_interruption_at_a_step(step: int, guided: Path, run: Run, tmp_path: Path) -> None:
    arguments = ("--bundle", guided, "--prompt", "a cat", "--previews", tmp_path, "--out", tmp_path / "a.png")
    done = run(*arguments, "--steps-json", tmp_path / "steps.json", INTERRUPT_AT=str(step))
    assert done.returncode == 128 + signal.SIGINT and done.stdout == ""
    assert done.stderr == "stopped before the end; no picture was written\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-{number + 1}.png" for number in range(step)]
    assert all(pixels(path).shape == (16, 16, 3) for path in tmp_path.iterdir())


def watches(process: int, sent: signal.Signals) -> bool:
    """Whether a process handles a signal."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (handled,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(handled >> (sent - 1) & 1)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_from_outside_ends_a_benchmark(sent: signal.Signals, guided: Path, built: Path) -> None:
    command = [built / "runner", "--bundle", guided, "--prompt", "a cat", "--benchmark", "10000", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not watches(process.pid, sent):
            time.sleep(0.01)
        process.send_signal(sent)
        output, error = process.communicate(timeout=60)
    assert (process.returncode, output) == (128 + sent, "")
    assert error == "stopped before the end; no picture was written\n"
