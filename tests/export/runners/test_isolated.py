"""Native code in a process of its own: a program that aborts it ends one call with one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from export.bundle.bundle import open_bundle
from export.job.run import Exported
from export.runners.isolated import IsolatedRunner
from export.runners.runner import Runner
from export.runners.sequential import SequentialRunner, release
from export.targets import open_runner
from mobile_diffusion.errors import ConfigError, ExportError
from tests.export.cli.test_commands import Command, assert_refused, command
from tests.export.evidence.planting import rehash

__all__ = ["command"]
STAGES = {"decode_image": "decode_image.pte"}
ZERO = np.zeros(2, np.float32)


class Doubling:
    """A runner that dies of a negative number."""

    name = "doubling"

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        if (arrays["x"] < 0).any():
            os.abort()
        return {"y": 2 * arrays["x"], "process": np.array([os.getpid()])}


def doubling() -> Runner:
    return Doubling()


def dying() -> Runner:
    os.abort()


def refusing() -> Runner:
    raise ConfigError("threads: expected fewer")


def one_at_a_time() -> Runner:
    def load(stage: str) -> Runner:
        print("loaded", flush=True)
        return Doubling()

    return SequentialRunner("doubling", 1, load)


def isolated(load: Callable[[], Runner]) -> IsolatedRunner:
    return IsolatedRunner.load(load, STAGES, "doubling", 1)


def test_it_runs_elsewhere_and_its_death_is_one_line() -> None:
    runner = isolated(doubling)
    found = runner.run("decode_image", x=ZERO + 3)
    assert found["y"].tolist() == [6, 6] and found["process"] != os.getpid()
    with pytest.raises(ExportError, match="expected a stage of decode_image, got 'denoise'"):
        runner.run("denoise", x=ZERO)
    with pytest.raises(ExportError, match="doubling: decode_image: expected an answer from the runtime, got a process"):
        runner.run("decode_image", x=ZERO - 1)


def test_errors_of_loading_arrive() -> None:
    with pytest.raises(ExportError, match="doubling: opening decode_image: expected an answer from the runtime"):
        isolated(dying)
    with pytest.raises(ConfigError, match="threads: expected fewer"):
        isolated(refusing)


def test_a_stage_is_unloaded_there() -> None:
    runner = isolated(one_at_a_time)
    for _ in range(2):
        runner.run("decode_image", x=ZERO)
        release(runner)
    assert (runner.process.work / "notes.txt").read_text().split() == ["loaded", "loaded"]


@pytest.mark.parametrize("name", ["xnnpack", "onnx"])
def test_a_bundle_s_programs_give_the_same_there(name: str, exported: Mapping[str, Exported]) -> None:
    bundle = open_bundle(exported["android"].bundle.path)
    latents = np.random.default_rng(5).standard_normal((1, 4, 16, 16), np.float32)
    here, there = (open_runner(bundle, name, 1, each)[1] for each in (False, True))
    assert isinstance(there, IsolatedRunner)
    pictures = [runner.run("decode_image", latents=latents)["image"] for runner in (here, there)]
    np.testing.assert_array_equal(*pictures)


def spoiled(bundle: Path, into: Path) -> Path:
    """A bundle whose decoder aborts ExecuTorch: XNNPACK's graph asks for a constant that is not there."""
    shutil.copytree(bundle, into)
    file = into / "decode_image.pte"
    data = bytearray(file.read_bytes())
    start = data.index(b"XH00")
    data[start : start + 4] = b"\0\0\0\0"
    file.write_bytes(data)
    rehash(into)
    return into


@pytest.mark.full
def test_verify_survives_a_program_that_aborts(
    command: Command, exported: Mapping[str, Exported], tmp_path: Path
) -> None:
    bundle = spoiled(exported["android"].bundle.path, tmp_path / "spoiled")
    assert_refused(command("verify", str(bundle), "--threads", "1"), "decode_image")
