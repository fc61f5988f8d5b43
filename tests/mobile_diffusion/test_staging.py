"""Files and folders appear whole: a process is killed at every system call that renames or removes.

A small library in C (benchmarks/robustness/disturb.c), loaded into a process of its own, counts those calls and kills
in front of the chosen one: what is tested is what the operating system is asked to do, whatever Python function asks.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.robustness.library import build_library
from mobile_diffusion.checkpoint import Model, save_checkpoint
from mobile_diffusion.errors import DataError
from mobile_diffusion.staging import staged_file, staged_folder, write_bytes

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """disturb.c, compiled."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("killing at a system call needs Linux and gcc")
    path = tmp_path_factory.mktemp("kill") / "disturb.so"
    build_library(path)
    return path


def kills(library: Path, exchange: bool, *arguments: str | Path) -> list[dict[str, Any]]:
    """What kill_at_every_call.py prints; without `exchange`, as on a file system that cannot swap two names."""
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {} if exchange else {"NO_EXCHANGE": "1"}
    command = [sys.executable, HERE / "kill_at_every_call.py", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two steps"])
@pytest.mark.parametrize("kind", ["file", "folder", "checkpoint"])
def test_a_kill_loses_nothing_and_leaves_nothing(
    kind: str, exchange: bool, library: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "place" / "out"
    out.parent.mkdir()
    rows = kills(library, exchange, kind, out, folder)
    assert len(rows) > {"file": 1, "folder": 4, "checkpoint": 5}[kind]  # a kill per call, and one writing to its end
    for row in rows:
        # Where names cannot be swapped, nothing stands at the output between two renames; the next run brings it back.
        assert row["between"] in (("old", "new") if exchange or kind == "file" else ("old", "new", None))
        assert (row["before"], row["after"], row["names"]) == ("old", "newer", ["out"])
    assert [row["between"] for row in rows if row["between"]][-1] == "new"
    assert exchange or kind == "file" or sum(row["between"] is None for row in rows) == 1


def test_an_output_that_was_moved_aside_comes_back_even_if_the_next_run_fails(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / ".out.replaced-0123abcd").mkdir()
    (tmp_path / ".out.replaced-0123abcd" / "value").write_text("old")
    with pytest.raises(ZeroDivisionError), staged_folder(out, replace=lambda path: None):
        raise ZeroDivisionError
    assert (out / "value").read_text() == "old" and os.listdir(tmp_path) == ["out"]


def test_what_the_former_way_of_saving_left_is_removed(model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_checkpoint(model, out)
    for name in (".out.partial-0123abcd", ".out.replaced"):
        shutil.copytree(out, tmp_path / name)
    save_checkpoint(model, out, overwrite=True)
    assert os.listdir(tmp_path) == ["out"]


def test_a_file_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    with staged_file(path) as first:
        write_bytes(b"second", path)
        assert first.exists() and path.read_bytes() == b"second"
        first.write_bytes(b"first")
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["value.json"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(b"1", tmp_path / "file")
        with staged_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~umask


def test_the_error_is_of_the_callers_kind(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="expected a new folder"), staged_folder(tmp_path / "out", error=DataError):
        pass
