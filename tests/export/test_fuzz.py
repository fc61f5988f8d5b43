"""A sample of the damaged inputs of `make fuzz`: every reader reads them, or refuses them in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.fuzz.bundles import BundleTarget, bundle_targets
from benchmarks.fuzz.targets import TARGETS, Target, one
from benchmarks.fuzz.worker import fuzz
from export.job.run import Exported
from mobile_diffusion.errors import ConfigError

CASES = 40
OF_BUNDLES = tuple(bundle_targets(Path("bundles")))


@pytest.mark.parametrize("name", TARGETS)
def test_a_file_is_read_or_refused_in_a_line(name: str, tmp_path: Path) -> None:
    found = fuzz(TARGETS[name], CASES, 7, tmp_path)
    assert found["cases"] == CASES and found["failures"] == []


@pytest.mark.parametrize("name", OF_BUNDLES)
def test_a_file_of_a_bundle_is_read_or_refused_in_a_line(
    name: str, exported: Mapping[str, Exported], tmp_path: Path
) -> None:
    folder = tmp_path / "bundles"
    folder.mkdir()
    for target in ("android", "ios"):
        (folder / target).symlink_to(exported[target].bundle.path)
    target = bundle_targets(folder)[name]
    assert isinstance(target, BundleTarget)
    found = fuzz(target, 5 if target.slow else CASES, 7, tmp_path / "kept")
    assert found["failures"] == []


def reading(reader: object) -> Target:
    """A target of one byte file."""
    return one("file", "file.bin", lambda: b"valid content", reader)  # type: ignore[arg-type]


def test_what_counts_as_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader survives its valid file, and does something else with every other."""

    def unless_valid(change: object) -> Target:
        def read(path: Path) -> None:
            if path.read_bytes() != b"valid content":
                change(path)  # type: ignore[operator]

        return reading(read)

    def refuse(path: Path) -> None:
        raise ConfigError("expected another file")

    def crash(path: Path) -> None:
        raise KeyError("a bug")

    def ramble(path: Path) -> None:
        raise ConfigError("x" * 5000)

    def spill(path: Path) -> None:
        path.with_name("spilled").write_bytes(b"")

    def hold(path: Path) -> None:
        bytearray(2**31)

    def hang(path: Path) -> None:
        while True:
            pass

    monkeypatch.setattr("benchmarks.fuzz.worker.SECONDS", 0.05)
    expected = {refuse: None, crash: "KeyError at ", ramble: "LongMessage", spill: "FileLeft", hold: "MemoryError at "}
    expected[hang] = "Hang"
    for number, (change, problem) in enumerate(expected.items()):
        found = fuzz(unless_valid(change), 5, 1, tmp_path / str(number))
        problems = [each["problem"] for each in found["failures"]]
        assert problems == [] if problem is None else len(problems) == 1 and problems[0].startswith(problem)
        assert all((tmp_path / str(number) / each["example"]).is_file() for each in found["failures"])
