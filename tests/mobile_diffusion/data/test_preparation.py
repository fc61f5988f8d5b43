"""The whole way on tiny packages: rows, split, resumption, determinism."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mobile_diffusion.data import concept_families as families
from mobile_diffusion.data import load_dataset, load_image, prepare
from mobile_diffusion.errors import DataError
from mobile_diffusion.progress import Progress

if TYPE_CHECKING:
    from benchmarks.robustness.packages import Registry

Steps = tuple[list[tuple[str, float]], Progress]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rows_of_two_styles(registry: Registry, tmp_path: Path, steps: Steps) -> None:
    seen, report = steps
    samples = prepare(tmp_path / "emoji", registry.styles, report)
    assert samples == load_dataset(tmp_path / "emoji")
    assert [sample.id for sample in samples] == [
        "3d/1F34E", "3d/2764", "flat/1F34E", "flat/1F468-200D-1F33E", "flat/1F469-200D-1F33E",
    ]  # fmt: skip
    apple, heart = samples[:2]
    assert (apple.label, apple.family, apple.split, apple.licence) == ("red apple", "apple", "train", "MIT")
    assert apple.keywords == ("fruit", "red", "mac store", "name of 1f34e")
    assert heart.keywords == ("love", "like", "name of 2764")
    assert seen[0] == ("packages", 0) and seen[-1] == ("flat: 3 of 3", pytest.approx(1))
    assert [part for _, part in seen] == sorted(part for _, part in seen)
    picture = load_image(apple)
    assert picture.shape == (128, 128, 3)
    assert (picture[64, 64] == (255, 0, 0)).all()
    assert (picture[0, 0] == 255).all()
    assert "Microsoft" in (tmp_path / "emoji" / "LICENSES.txt").read_text()


def test_mirrored_icon(registry: Registry, tmp_path: Path) -> None:
    man, woman = prepare(tmp_path, registry.styles[1:])[1:]
    np.testing.assert_array_equal(load_image(man)[:, ::-1], load_image(woman))


def test_no_family_is_in_both_splits(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "HELD_OUT_SHARE", 0.5)
    samples = prepare(tmp_path, registry.styles)
    splits: dict[str, set[str]] = {}
    for sample in samples:
        splits.setdefault(sample.family, set()).add(sample.split)
    assert len(splits) == 3
    assert all(len(split) == 1 for split in splits.values())


def test_two_runs_write_the_same_bytes(registry: Registry, tmp_path: Path) -> None:
    prepare(tmp_path / "one", registry.styles)
    prepare(tmp_path / "two", tuple(reversed(registry.styles)))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_second_style_keeps_the_first(registry: Registry, tmp_path: Path) -> None:
    prepare(tmp_path, registry.styles[1:])
    assert {sample.style for sample in prepare(tmp_path, registry.styles[:1])} == {"3d", "flat"}


def _hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize("moment", ["npm", "picture", "rows"])
def test_a_killed_run_leaves_nothing_after_the_next(registry: Registry, tmp_path: Path, moment: str) -> None:
    """SIGKILL in the middle of a download, of a picture and of the rows: nothing of ours can clean up."""
    out, served = tmp_path / "emoji", tmp_path / "tools" / "npm"
    script = served.read_text()
    if moment == "npm":
        served.write_text(script.replace("exit 0", 'touch "$4/half" && exec sleep 20'))
    child = os.fork()
    if child == 0:
        ends = {"picture": ".png", "rows": "dataset.jsonl", "npm": "none"}
        replace_file = os.replace

        def stop(source: Path, target: Path) -> None:
            if str(target).endswith(ends[moment]):
                time.sleep(20)
            replace_file(source, target)

        os.replace = stop  # type: ignore[assignment]
        prepare(out, registry.styles)
        os._exit(0)
    waited = time.monotonic() + 15
    while not (out.is_dir() and any(_is_begun(path, moment) for path in _hidden(out))):
        assert time.monotonic() < waited and os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert _hidden(out)
    served.write_text(script)
    style = registry.styles[1:] if moment == "picture" else registry.styles  # also one that is not rendered again
    prepare(out, style)
    assert not _hidden(out)


def _is_begun(path: Path, moment: str) -> bool:
    """Whether this temporary file or folder is the one that the run was to be killed in."""
    if moment == "npm":
        return (path / "half").is_file()
    return path.suffix == (".png" if moment == "picture" else ".jsonl") and path.is_file() and path.stat().st_size > 0


class _Interrupted(BaseException):
    """Stands for Ctrl-C: not an Exception."""


def test_resumes_after_an_interruption(registry: Registry, tmp_path: Path) -> None:
    folder, whole = tmp_path / "emoji", tmp_path / "whole"

    def interrupt(what: str, part: float) -> None:
        if what == "flat: 2 of 3":
            raise _Interrupted

    with pytest.raises(_Interrupted):
        prepare(folder, registry.styles, interrupt)
    assert {sample.style for sample in load_dataset(folder)} == {"3d"}, "the finished style can be used"
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    asked = len(registry.asked)
    prepare(folder, registry.styles)
    assert len(registry.asked) == asked, "nothing is fetched twice"
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "nothing is rendered twice"
    prepare(whole, registry.styles)
    assert contents(folder) == contents(whole)


def test_damaged_picture_is_made_again(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / prepare(tmp_path, registry.styles)[0].image
    intact = path.read_bytes()
    path.write_bytes(intact[:-40])
    prepare(tmp_path, registry.styles)
    assert path.read_bytes() == intact


def test_damaged_rows_are_made_again(registry: Registry, tmp_path: Path) -> None:
    samples = prepare(tmp_path, registry.styles)
    (tmp_path / "dataset.jsonl").write_text('{"id": "3d/1F')
    assert prepare(tmp_path, registry.styles) == samples


def test_full_disk_is_one_line_and_leaves_no_scratch(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, registry.styles[:1])
    before = contents(tmp_path)

    def fail(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    (tmp_path / "images" / "3d" / "2764.png").unlink()
    with pytest.raises(DataError, match="No space left on device; free space"):
        prepare(tmp_path, registry.styles[:1])
    del before["images/3d/2764.png"]
    assert contents(tmp_path) == before


def test_package_without_known_drawings_is_one_line(registry: Registry, tmp_path: Path) -> None:
    style = replace(registry.styles[0], package=registry.captions[1], names=registry.captions[1])
    with pytest.raises(DataError, match="expected drawings in emojilib"):
        prepare(tmp_path, [style])


def test_rows_are_json_lines(registry: Registry, tmp_path: Path) -> None:
    prepare(tmp_path, registry.styles[:1])
    row = json.loads((tmp_path / "dataset.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert row["image"] == "images/3d/1F34E.png"
    assert "folder" not in row
