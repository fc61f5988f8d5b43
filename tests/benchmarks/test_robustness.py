"""A sample of `make robustness`: calls that fail, calls that kill, and copies of what a kill would leave."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.robustness.kills import Row
from benchmarks.robustness.library import build_library

ROOT = Path(__file__).parents[2]
WRITE = """
import sys
from pathlib import Path
from mobile_diffusion.staging import staged_folder
with staged_folder(Path(sys.argv[1]), replace=lambda path: None) as folder:
    (folder / "value").write_text("new")
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """disturb.c, compiled."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("killing at a system call needs Linux and gcc")
    path = tmp_path_factory.mktemp("disturb") / "disturb.so"
    build_library(path)
    return path


def disturbed(library: Path, out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A folder is replaced in a disturbed process."""
    environment = (
        os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT), "UNDER": str(out.parent)} | variables
    )
    return subprocess.run([sys.executable, "-c", WRITE, out], env=environment, capture_output=True, text=True)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A former output."""
    path = tmp_path / "place" / "out"
    path.mkdir(parents=True)
    (path / "value").write_text("old")
    return path


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_calls_that_fail_keep_the_former_output(library: Path, out: Path, tmp_path: Path, number: int) -> None:
    log = tmp_path / "log"
    assert disturbed(library, out, CALLS="writes", LOG=str(log)).returncode == 0
    calls = [line.split()[0] for line in log.read_text().splitlines()]
    assert [call for call in calls if call != "unlink"] == ["mkdir", "open", "write", "rename", "fsync"]
    for at, call in enumerate(calls[:4], start=1):
        (out / "value").write_text("old")
        done = disturbed(library, out, CALLS="writes", HOW=str(number), AT=str(at))
        assert (done.returncode == 1 and os.strerror(number) in done.stderr) or "full disk" in done.stderr, call
        assert (out / "value").read_text() == "old"
        assert number == errno.EROFS or os.listdir(out.parent) == ["out"]


def test_copies_are_what_a_kill_leaves(library: Path, out: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    assert disturbed(library, out, CALLS="names", HOW=str(copies)).returncode == 0
    found = sorted(copies.iterdir(), key=lambda each: int(each.name))
    assert [(each / "out" / "value").read_text() for each in found[:4]] == ["old", "old", "old", "new"]
    killed = tmp_path / "place"
    for at, copy in enumerate(found, start=1):
        (out / "value").write_text("old")
        assert disturbed(library, out, CALLS="names", HOW="kill", AT=str(at)).returncode == -9
        assert contents(killed) == contents(copy)


def contents(folder: Path) -> list[str]:
    """What the files say, the output's first; hidden names are random."""
    return [path.read_text() for path in sorted(folder.rglob("*"), reverse=True) if path.is_file()]


def test_a_wrong_end_is_noted() -> None:
    row = Row("export", "killed")
    row.demand(True, "right")
    row.demand(False, "wrong")
    assert row.failures == ["case 0: wrong"]


@pytest.mark.full
def test_commands_that_resume_survive(tmp_path: Path) -> None:
    words = ["--work", str(tmp_path), "--no-record", "--cases", "4", "data fetch", "train decoder"]
    command = [sys.executable, "-m", "benchmarks.robustness.run", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr
    assert len(rows) == 14 and all(row["cases"] for row in rows)
