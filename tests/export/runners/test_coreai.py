"""The process of Apple's runtime: it dies, hangs, finds no room, works beside others, and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from export.coreai.sums import Sums
from export.runners.coreai import CoreAIRunner
from export.signatures import STAGES
from mobile_diffusion.errors import ExportError
from tests.export.coreai_packages import needs_coreai

pytestmark = needs_coreai
Inputs = Callable[..., dict[str, np.ndarray]]
DECODER = {"decode_image": "decode_image.aimodel"}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files; empty again when the test is over."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    gc.collect()
    assert list(folder.iterdir()) == []


def refused(call: Callable[[], object]) -> str:
    """The one line that a call is refused with."""
    with pytest.raises(ExportError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line and len(line) < 500
    return line


def test_compiled_files_are_removed_once_they_are_loaded(coreai_folder: Path, work: Path, make_inputs: Inputs) -> None:
    runner = CoreAIRunner.load(coreai_folder, DECODER)
    (folder,) = work.iterdir()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert runner.run("decode_image", **make_inputs("decode_image"))["image"].shape == (1, 3, 32, 32)
    process = runner.process.process
    assert process.is_alive()
    del runner
    gc.collect()
    assert list(work.iterdir()) == []
    assert not process.is_alive()


def test_a_runtime_that_dies_is_one_line(coreai_folder: Path, work: Path, make_inputs: Inputs) -> None:
    runner = CoreAIRunner.load(coreai_folder, DECODER)
    os.kill(runner.process.process.pid, signal.SIGSEGV)
    line = refused(lambda: runner.run("decode_image", **make_inputs("decode_image")))
    assert line.startswith("Core AI: decode_image: expected an answer from the runtime, got a process that ended")
    assert "ended" in refused(lambda: runner.run("decode_image", **make_inputs("decode_image")))


def test_a_runtime_that_does_not_answer_is_one_line(coreai_folder: Path, work: Path, make_inputs: Inputs) -> None:
    runner = CoreAIRunner.load(coreai_folder, DECODER, patience_s=60.0)
    runner.process.patience_s = 0.5
    process = runner.process.process
    os.kill(process.pid, signal.SIGSTOP)
    line = refused(lambda: runner.run("decode_image", **make_inputs("decode_image")))
    assert "decode_image: expected an answer from the runtime, got a process that did not answer within 0.5 s" in line
    assert "expected an answer" in refused(lambda: runner.run("decode_image", **make_inputs("decode_image")))


@pytest.mark.parametrize("small_disk", ["300k"], indirect=True)
def test_no_room_for_compiled_files_is_one_line(
    coreai_folder: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    line = refused(lambda: CoreAIRunner.load(coreai_folder, {"denoise": "denoise.aimodel"}))
    assert "MB of free disk in" in line and line.endswith("make room or set TMPDIR")
    gc.collect()
    assert list(small_disk.iterdir()) == []


def test_several_work_at_the_same_time(coreai_folder: Path, work: Path, make_inputs: Inputs) -> None:
    def draw(step: int) -> np.ndarray:
        runner = CoreAIRunner.load(coreai_folder, {"denoise": "denoise.aimodel"})
        return runner.run("denoise", **make_inputs("denoise", step))["latents"]

    alone = [draw(step) for step in (0, 7)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(draw, (0, 7)))
    for wanted, got in zip(alone, together, strict=True):
        np.testing.assert_array_equal(wanted, got)


def spoil(folder: Path, out: Path, changes: Mapping[str, bytes | None]) -> Path:
    """A copy of the decoder's asset with other files."""
    copied = Path(shutil.copytree(folder / "decode_image.aimodel", out / "decode_image.aimodel"))
    for name, content in changes.items():
        if content is None:
            (copied / name).unlink()
        else:
            (copied / name).write_bytes(content)
    return copied


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"main.mlirb": None}, "expected an .aimodel with main.mlirb, got none"),
        ({"metadata.json": b"{"}, "metadata.json: expected JSON, got JSONDecodeError"),
        ({"metadata.json": b"[]"}, "expected a JSON object, got list"),
        (
            {"metadata.json": b'{"assetVersion": "3.0", "producer": "coreai-core 2"}'},
            "got version '3.0' by 'coreai-core 2'",
        ),
        ({"metadata.json": b'{"assetVersion": "2.0", "producer": "other 1"}'}, "got version '2.0' by 'other 1'"),
        ({"main.mlirb": b"not a program"}, "expected a program with the hash in main.hash, got another"),
    ],
)
def test_a_damaged_or_foreign_asset_is_one_line(
    changes: Mapping[str, bytes | None], message: str, coreai_folder: Path, tmp_path: Path
) -> None:
    spoil(coreai_folder, tmp_path, changes)
    line = refused(lambda: CoreAIRunner.load(tmp_path, DECODER))
    assert message in line and line.endswith("export it again")


def test_a_truncated_program_is_one_line(coreai_folder: Path, tmp_path: Path) -> None:
    whole = (coreai_folder / "decode_image.aimodel" / "main.mlirb").read_bytes()
    spoil(coreai_folder, tmp_path, {"main.mlirb": whole[: len(whole) // 2]})
    assert "expected a program with the hash" in refused(lambda: CoreAIRunner.load(tmp_path, DECODER))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_program_with_a_hash_of_its_own_is_one_line(
    share: float, coreai_folder: Path, tmp_path: Path, work: Path
) -> None:
    import hashlib

    whole = (coreai_folder / "decode_image.aimodel" / "main.mlirb").read_bytes()
    cut = whole[: int(share * len(whole))]
    spoil(coreai_folder, tmp_path, {"main.mlirb": cut, "main.hash": hashlib.sha256(cut).digest()})
    line = refused(lambda: CoreAIRunner.load(tmp_path, DECODER))
    assert "expected a Core AI program" in line or "expected an answer from the runtime" in line


@pytest.mark.parametrize("kind", ["nothing", "file", "package"])
def test_what_is_no_asset_is_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("decode_image.mlpackage" if kind == "package" else "decode_image.aimodel")
    if kind == "file":
        path.write_bytes(b"x")
    if kind == "package":
        path.mkdir()
    assert "expected an .aimodel folder, got" in refused(
        lambda: CoreAIRunner.load(tmp_path, {"decode_image": path.name})
    )


def test_an_asset_with_other_functions_is_one_line(tmp_path: Path, work: Path) -> None:
    import coreai_torch
    import torch

    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    program = program.run_decompositions(coreai_torch.get_decomp_table())
    converter = coreai_torch.TorchConverter().add_exported_program(program, entrypoint_name="apply")
    converter.to_coreai().save_asset(tmp_path / "decode_image.aimodel")
    assert "expected the function main, got apply" in refused(lambda: CoreAIRunner.load(tmp_path, DECODER))


@pytest.mark.parametrize("sums", list(Sums))
def test_half_precision_is_near_pytorch(
    sums: Sums, coreai_half_folder: Path, torch_runner: object, make_inputs: Inputs
) -> None:
    from tests.export.comparing import assert_close

    runner = CoreAIRunner.load(coreai_half_folder, {stage: f"{stage}.aimodel" for stage in STAGES}, sums=sums)
    for stage in STAGES:
        arrays = make_inputs(stage)
        wanted = torch_runner.run(stage, **arrays)  # type: ignore[attr-defined]
        assert_close(wanted, runner.run(stage, **arrays), 45.0)
