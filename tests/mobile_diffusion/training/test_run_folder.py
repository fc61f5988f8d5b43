"""What a run's folder holds after kills and accidents: the next start resumes, or says in one line why it cannot."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from mobile_diffusion.errors import TrainingError
from mobile_diffusion.training import curve as curve_module
from mobile_diffusion.training.curve import CURVE, read_curve
from mobile_diffusion.training.loop import train
from mobile_diffusion.training.run_folder import SETTINGS, STATE, remove_leftovers, room_for
from mobile_diffusion.training.sharded_state import SCRATCH
from tests.mobile_diffusion.training.test_loop import LOOP, Regression


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A run that was killed at step 9; its last state is that of step 8."""
    with pytest.raises(KeyboardInterrupt):
        train(Regression(kill_at=9), tmp_path)
    return tmp_path


def refusal(run: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        train(Regression(), run)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "got no file"),
        ("", "got an empty file"),
        ("{", "got Expecting"),
        ("[1]", "got Settings: expected an object"),
    ],
)
def test_settings_that_cannot_be_read_are_the_reason(killed: Path, content: str | None, reason: str) -> None:
    path = killed / SETTINGS
    good = path.read_text()
    path.unlink() if content is None else path.write_text(content)
    assert refusal(killed).startswith(str(path)) and reason in refusal(killed)
    path.write_text(good)
    assert train(Regression(), killed).step == LOOP.steps


def test_two_processes_cannot_train_one_run(tmp_path: Path) -> None:
    class Second(Regression):
        def sheet(self, path: Path) -> None:
            assert "got one that does; wait, or choose another --run" in refusal(tmp_path)
            super().sheet(path)

    task = Second()
    train(task, tmp_path)
    assert task.sheets and train(Regression(), tmp_path).step == LOOP.steps


def test_the_first_setting_that_differs_is_named(killed: Path) -> None:
    values = json.loads((killed / SETTINGS).read_text())
    values["loop"]["batch"] = 5
    (killed / SETTINGS).write_text(json.dumps(values))
    assert "the run began with, loop.batch = 5, got 4; choose another --run" in refusal(killed)


@pytest.mark.parametrize("damage", [b'{"step": 9, "lo', b"\x00" * 40 + b"\n", b"7\n", b'{"step": 9}\n', b"\xff\n"])
@pytest.mark.parametrize("last", [True, False])
def test_a_damaged_line_of_the_curve_does_not_stop_a_resume(
    killed: Path, damage: bytes, last: bool, caplog: pytest.LogCaptureFixture
) -> None:
    lines = (killed / CURVE).read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    if last:
        lines.append(damage)
    else:
        lines[1] = damage.removesuffix(b"\n") + b"\n"
    (killed / CURVE).write_bytes(b"".join(lines))
    with caplog.at_level(logging.WARNING):
        train(Regression(), killed)
    assert f"left out 1 damaged line(s) of {len(lines)}" in caplog.text
    steps = [row.step for row in read_curve(killed)]
    assert steps == ([2, 4, 6, 8, 10, 12] if last else [2, 6, 8, 10, 12])
    assert all(json.loads(line)["loss"] >= 0 for line in (killed / CURVE).read_text().splitlines())


def test_temporary_files_of_killed_runs_are_removed(killed: Path) -> None:
    left = [
        killed / f".{STATE}.999.tmp",
        killed / ".inputs.safetensors.1.tmp",
        killed / ".sheet-000006.png.partial-0a.png",
    ]
    for path in left:
        path.write_bytes(b"half")
    (killed / SCRATCH).mkdir()
    (killed / SCRATCH / "shard-00001.safetensors").write_bytes(b"half")
    (killed / "notes.tmp").write_text("of the user")
    train(Regression(), killed)
    assert sorted(path.name for path in killed.iterdir()) == [CURVE, "notes.tmp", SETTINGS, STATE]


def test_a_process_killed_while_it_writes_leaves_what_the_next_removes(tmp_path: Path) -> None:
    """The names of the temporary files are those that `staged_file` makes, not those that this test knows."""
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom mobile_diffusion.staging import staged_file\n"
        "with staged_file(Path(sys.argv[1])) as scratch:\n"
        "    scratch.write_bytes(b'half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / STATE)], cwd=Path.cwd(), env=os.environ)
    assert done.returncode == -9 and len(list(tmp_path.iterdir())) == 1
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def full_disk(*given: Any, **named: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("what", ["state", "curve", "sheet"])
def test_a_full_disk_is_one_line_and_the_run_resumes(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Regression()
    with monkeypatch.context() as patch:
        if what == "state":
            patch.setattr("mobile_diffusion.training.state.save_file", full_disk)
        elif what == "curve":
            patch.setattr(curve_module.json, "dumps", full_disk)
        else:
            patch.setattr(task, "sheet", full_disk)
        with pytest.raises(TrainingError, match="expected room on the disk, got a full disk; make room") as caught:
            train(task, tmp_path)
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    assert train(Regression(), tmp_path).step == LOOP.steps


def test_the_message_of_a_library_that_wraps_the_error_is_known(tmp_path: Path) -> None:
    """safetensors raises its own exception, with the words of the system."""
    words = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(TrainingError, match="got a full disk"), room_for(tmp_path / STATE):
        raise SafetensorError(words)
    with pytest.raises(SafetensorError, match="header"), room_for(tmp_path / STATE):
        raise SafetensorError("invalid header")
