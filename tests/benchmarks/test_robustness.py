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
import json, os, sys
from pathlib import Path
from mobile_diffusion.staging import staged_folder
out, ends = Path(sys.argv[1]), []
for variables in json.loads(sys.argv[2]):
    (out / "value").write_text("old")
    if os.fork() == 0:
        os.environ |= {"UNDER": str(out.parent), **variables}
        try:
            with staged_folder(out, replace=lambda path: None) as folder:
                (folder / "value").write_text("new")
        except Exception as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.wait()[1])
    ends.append([status, (out / "value").read_text(), sorted(os.listdir(out.parent))])
print(json.dumps(ends))
"""
"""Replaces a folder in one disturbed process after another."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """disturb.c, compiled."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("killing at a system call needs Linux and gcc")
    path = tmp_path_factory.mktemp("disturb") / "disturb.so"
    build_library(path)
    return path


def disturbed(library: Path, out: Path, *variables: dict[str, str]) -> list[tuple[int, str, list[str]]]:
    """For each set of variables: exit status, what the output says, and the names beside it."""
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITE, out, json.dumps(variables)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [(status, value, names) for status, value, names in json.loads(done.stdout)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A former output."""
    path = tmp_path / "place" / "out"
    path.mkdir(parents=True)
    (path / "value").write_text("old")
    return path


def test_calls_that_fail_keep_the_former_output(library: Path, out: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert disturbed(library, out, {"CALLS": "writes", "LOG": str(log)}) == [(0, "new", ["out"])]
    calls = [line.split()[0] for line in log.read_text().splitlines()]
    assert calls[:6] == ["mkdir", "mkdir", "open", "write", "rename", "fsync"]
    numbers = [(number, at) for number in (errno.ENOSPC, errno.EIO, errno.EROFS) for at in range(1, 6)]
    fail = [{"CALLS": "writes", "HOW": str(number), "AT": str(at)} for number, at in numbers]
    for (number, _), (status, value, names) in zip(numbers, disturbed(library, out, *fail), strict=True):
        assert (status, value) == (1, "old")
        assert number == errno.EROFS or names == ["out"]  # where nothing can be removed, the next process does it


def test_copies_are_what_a_kill_leaves(library: Path, out: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    disturbed(library, out, {"CALLS": "names", "HOW": str(copies)})
    found = [copies / str(number) for number in range(1, 1 + len(list(copies.iterdir())))]
    assert [(each / "out" / "value").read_text() for each in found[:5]] == ["old", "old", "old", "old", "new"]
    kill = [{"CALLS": "names", "HOW": "kill", "AT": str(at)} for at in range(1, 1 + len(found))]
    swept = [variables for each in kill for variables in (each, {})]  # the process after a kill removes what it left
    for copy, (status, value, names) in zip(found, disturbed(library, out, *swept)[::2], strict=True):
        assert (status, value, len(names)) == (-9, (copy / "out" / "value").read_text(), len(list(copy.iterdir())))


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
