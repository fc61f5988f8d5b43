"""Packed weights kept in files: the same picture, less memory of its own, and damaged files are made again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.apps.runner.conftest import Run, refusal

STAGES = ("decode_image", "denoise", "encode_text")


def draw(run: Run, bundle: Path, out: Path, *options: object) -> tuple[bytes, list[dict[str, Any]]]:
    """A picture's file, and the runner's events."""
    words = ("--prompt", "a red apple, 3d", "--seed", 7, "--out", out / "a.png", "--steps-json", out / "events.json")
    done = run("--bundle", bundle, *words, *options)
    assert done.returncode == 0, done.stderr
    return (out / "a.png").read_bytes(), json.loads((out / "events.json").read_text())["events"]


def files(folder: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in folder.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB; needs root, and the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; nothing else shows a full disk to a mapped file")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let root mount; nothing else shows a full disk to a mapped file")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("options", [(), ("--sequential",)], ids=["together", "sequential"])
@pytest.mark.parametrize("name", ["guided", "half", "int8"])
def test_the_picture_is_the_same_when_made_and_when_found(
    name: str, options: Sequence[str], run: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    bundle, packed = request.getfixturevalue(name), tmp_path / "packed"
    packed.mkdir()
    expected, _ = draw(run, bundle, tmp_path, *options)
    for _ in ("made", "found"):
        assert draw(run, bundle, tmp_path, "--packed", packed, *options)[0] == expected
        assert files(packed) == list(STAGES)


def test_found_files_are_not_written_again(guided: Path, run: Run, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    draw(run, guided, tmp_path, "--packed", packed)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in packed.iterdir()}
    draw(run, guided, tmp_path, "--packed", packed)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in packed.iterdir()} == before


def test_two_bundles_share_a_folder(guided: Path, half: Path, run: Run, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    expected = [draw(run, bundle, tmp_path)[0] for bundle in (guided, half)]
    for _ in ("made", "found"):
        assert [draw(run, bundle, tmp_path, "--packed", packed)[0] for bundle in (guided, half)] == expected
    assert len(files(packed)) == 2 * len(STAGES)


def test_older_files_are_removed_and_two_of_a_stage_stay(guided: Path, run: Run, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    draw(run, guided, tmp_path, "--packed", packed)
    (own,) = packed.glob("denoise-*")
    ending = own.name.partition("-")[2][16:]
    digests = [f"{number:016x}" for number in range(3)]
    for age, digest in enumerate(digests):
        file = packed / f"denoise-{digest}{ending}"
        file.write_bytes(b"another bundle's")
        os.utime(file, (1e9 - age, 1e9 - age))
    foreign = [packed / name for name in ("denoise-notes.packed", "denoise.txt", "other-0123456789abcdef.packed")]
    stale = [packed / f"denoise-{digests[0]}{end}" for end in (".packed", "-1.0.0-01234567.packed")]
    for file in (*foreign, *stale):
        file.write_bytes(b"x")
    draw(run, guided, tmp_path, "--packed", packed)
    assert {file.name for file in packed.glob("denoise*")} - {file.name for file in foreign} == {
        *(own.name, f"denoise-{digests[0]}{ending}")
    }
    assert all(file.exists() for file in foreign)


def test_a_full_disk_is_a_line_and_the_weights_stay_in_memory(
    guided: Path, run: Run, small_disk: Path, tmp_path: Path
) -> None:
    words = ("--bundle", guided, "--prompt", "a red apple, 3d", "--seed", 7)
    expected, _ = draw(run, guided, tmp_path)
    done = run(*words, "--out", tmp_path / "b.png", "--packed", small_disk)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.png").read_bytes() == expected
    assert done.stderr.splitlines() and all(
        line.startswith("--packed: expected ") and line.endswith("its weights stay in memory")
        for line in done.stderr.splitlines()
    )


@pytest.mark.parametrize("content", [b"", b"hello", None], ids=["empty", "other", "cut"])
def test_a_damaged_file_is_made_anew(content: bytes | None, guided: Path, run: Run, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    expected, _ = draw(run, guided, tmp_path, "--packed", packed)
    for path in packed.iterdir():
        path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert draw(run, guided, tmp_path, "--packed", packed)[0] == expected


def test_loading_lets_go_of_the_programs_file(guided: Path, run: Run, tmp_path: Path) -> None:
    _, events = draw(run, guided, tmp_path)
    largest = max(path.stat().st_size for path in guided.glob("*.pte")) / 1024
    loaded = [event for event in events if event["event"] == "load"]
    assert len(loaded) == len(STAGES)
    grown = [after["mapped_kb"] - before["mapped_kb"] for before, after in pairwise(loaded)]
    assert max(grown) < largest / 2


def test_a_folder_that_is_not_there(guided: Path, run: Run, tmp_path: Path) -> None:
    found = refusal(run, "--bundle", guided, "--prompt", "a cat", "--packed", tmp_path / "absent")
    assert "--packed: expected a folder that exists" in found


def test_a_path_that_is_too_long(guided: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a" * 100] * 3)
    folder.mkdir(parents=True)
    assert "fewer than 256 bytes" in refusal(run, "--bundle", guided, "--prompt", "a cat", "--packed", folder)
