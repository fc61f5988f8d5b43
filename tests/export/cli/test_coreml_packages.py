"""`mobile-diffusion coreml chunk | combine | measure | report`: results as tables, refusals as one line."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from export.cli import coreml, guard
from export.coreml.package import WEIGHTS
from export.coreml.toolchain import NOISY_LOGGERS, import_coremltools, without_bars
from export.quiet import errors_only

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """`command("chunk", ...)`: exit status, stdout, stderr."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["coreml", *map(str, words)])
        with pytest.raises(SystemExit) as end, warnings.catch_warnings():
            guard.run(coreml.app)
        return int(end.value.code or 0), *capsys.readouterr()

    yield run
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """`package("a", scale=2)`: four linear layers for iOS 18."""
    from coremltools.converters.mil import Builder

    ct = import_coremltools()

    def save(name: str, scale: float = 1.0) -> Path:
        generator = np.random.default_rng(0)
        matrices = [generator.standard_normal((128, 128), np.float32) for _ in range(4)]
        matrices[-1] *= scale

        @Builder.program(input_specs=[Builder.TensorSpec(shape=(1, 128))], opset_version=ct.target.iOS18)
        def program(x: Any) -> Any:
            for matrix in matrices:
                x = Builder.linear(x=x, weight=matrix)
            return x

        with errors_only(NOISY_LOGGERS), without_bars():
            model = ct.convert(program, minimum_deployment_target=ct.target.iOS18, skip_model_load=True)
        model.save(str(tmp_path / f"{name}.mlpackage"))
        return tmp_path / f"{name}.mlpackage"

    return save


def test_chunk_says_what_the_parts_are(command: Command, package: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "cut.mlpackage"
    status, shown, _ = command("chunk", package("whole"), "--limit-mb", "0.08", "--out", out)
    assert status == 0 and "Parts of at most 0.08 MB" in shown and "cut.mlpackage: 2 parts" in shown
    assert sorted(file.name for file in (out / WEIGHTS).iterdir()) == ["0-weight.bin", "1-weight.bin"]


def test_chunk_can_write_the_parts_apart(command: Command, package: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "parts"
    assert command("chunk", package("whole"), "--limit-mb", "0.08", "--out", out, "--separate")[0] == 0
    names = ["whole-1-of-2.mlpackage", "whole-2-of-2.mlpackage"]
    assert sorted(path.name for path in out.iterdir()) == names


def test_combine_says_what_is_shared(command: Command, package: Callable[..., Path], tmp_path: Path) -> None:
    words = [f"--function=base={package('a')}", f"--function=louder={package('b', 2.0)}"]
    status, shown, _ = command("combine", *words, "--out", tmp_path / "both.mlpackage", "--default", "louder")
    assert status == 0 and "default function louder" in shown and "% saved" in shown
    rows = [line for line in shown.splitlines() if "louder" in line and "│" in line]
    assert len(rows) == 1 and "75." in rows[0]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["chunk", "absent.mlpackage", "--out", "a.mlpackage"], "absent.mlpackage: expected a Core ML package"),
        (["combine", "--function", "a", "--out", "b.mlpackage"], "--function: expected NAME=PACKAGE, got 'a'"),
        (["combine", "--function", "a=x", "--out", "b.mlpackage"], "expected at least two functions, got 1"),
        (
            ["combine", "--function", "a=x", "--function", "a=y", "--out", "b.mlpackage"],
            "--function: expected every name once, got 'a' twice",
        ),
        (
            ["report", "absent.json", "absent"],
            "absent.json: expected the file of `mobile-diffusion coreml measure`",
        ),
        (["measure", "absent", "--compute-units", "TPU"], "compute_units: expected one of"),
    ],
)
def test_refusals_are_one_line(
    words: list[str], reason: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, said = command(*words)
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert status == 2 and len(errors) == 1 and reason in errors[0] and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_measuring_is_called_unverified_where_it_is_offered() -> None:
    group: Any = typer.main.get_command(coreml.app)
    assert "UNVERIFIED" in group.commands["measure"].help
    assert all("unverified" in group.commands[name].help for name in ("chunk", "combine"))
