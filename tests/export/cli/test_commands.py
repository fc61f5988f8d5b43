"""The command line: every refusal is one line and status 2, every example in a help text is a real command."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artists import demo as demo_module
from export.cli import guard, main
from export.job import entry, resources
from export.job.run import Exported
from mobile_diffusion.errors import ExportError, MobileDiffusionError

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Result:
    """What a command left."""

    status: int
    out: str
    err: str

    def errors(self) -> list[str]:
        """The lines of stderr that are errors."""
        return [line for line in self.err.splitlines() if line.startswith("error:")]


Command = Callable[..., Result]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs `mobile-diffusion ...` in this process; `python -m export ...` when the first word is "export"."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]

    def run(*words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["command", *words])
        with pytest.raises(SystemExit) as end, warnings.catch_warnings():
            main.main()
        captured = capsys.readouterr()
        return Result(int(end.value.code or 0), captured.out, captured.err)

    yield run
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


def assert_refused(result: Result, text: str) -> None:
    assert result.status == 2, result
    assert len(result.errors()) == 1, result.err
    assert re.search(text, result.errors()[0]), result.err
    assert "Traceback" not in result.err


def test_generate_with_pytorch_and_with_every_runtime(
    command: Command, exported: Mapping[str, Exported], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    ways = {"torch": ["--model", str(tiny_checkpoint)]}
    for each in exported.values():
        for runtime in each.bundle.manifest.runtimes:
            ways[runtime.name] = ["--bundle", str(each.bundle.path), "--runtime", runtime.name]
    pictures = {}
    for name, way in ways.items():
        out = tmp_path / f"{name}.png"
        result = command("generate", "a red apple, 3d", "--seed", "7", "-o", str(out), "--threads", "1", *way)
        assert result.status == 0, result.err
        pictures[name] = np.asarray(Image.open(out)).astype(int)
    assert set(pictures) == {"torch", "coreml", "xnnpack", "onnx"}
    for name, picture in pictures.items():
        assert np.abs(picture - pictures["torch"]).max() <= (8 if name == "coreml" else 1)
    assert sorted(os.listdir(tmp_path)) == sorted(f"{name}.png" for name in ways)


def test_a_batch_is_the_seeds_one_by_one(command: Command, tiny_checkpoint: Path, tmp_path: Path) -> None:
    way = ["generate", "a red apple, 3d", "--model", str(tiny_checkpoint), "--threads", "1"]
    result = command(*way, "--seed", "7", "--batch", "3", "-o", str(tmp_path / "a.png"))
    assert result.status == 0, result.err
    assert sorted(os.listdir(tmp_path)) == ["a-7.png", "a-8.png", "a-9.png"]
    assert command(*way, "--seed", "8", "-o", str(tmp_path / "one.png")).status == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "a-8.png").read_bytes()
    assert (tmp_path / "a-7.png").read_bytes() != (tmp_path / "a-8.png").read_bytes()


BAD_GENERATE: dict[str, tuple[list[str], str]] = {
    "no checkpoint": (["--model", "/nowhere"], "nowhere"),
    "no bundle": (["--bundle", "/nowhere"], "expected a bundle"),
    "seed too large": (["--seed", str(2**64)], "seed"),
    "last seed of a batch": (["--seed", str(2**64 - 1), "--batch", "2"], "seed"),
    "batch": (["--batch", "0"], "batch"),
    "seed negative": (["--seed", "-1"], "seed"),
    "guidance": (["--guidance", "31"], "guidance"),
    "guidance not a number": (["--guidance", "nan"], "guidance"),
    "interval empty": (["--guidance-interval", "0.5,0.5"], "guidance_interval: expected"),
    "interval and shares": (["--guidance-interval", "0,0.5", "--guidance-shares", "1"], "leave one out"),
    "shares too few": (["--guidance-shares", "1,0"], "guidance_shares: expected .* got 2"),
    "steps": (["--steps", "0"], "steps"),
    "steps too many": (["--steps", "1001"], "steps"),
    "runtime without bundle": (["--runtime", "coreml"], "--bundle"),
    "picture of another kind": (["-o", "picture.jpg"], r"\.png"),
    "picture nowhere": (["-o", "/nowhere/picture.png"], "folder"),
    "picture a folder": (["-o", "/tmp"], "folder"),
}


@pytest.mark.parametrize("name", BAD_GENERATE)
def test_generate_refuses(command: Command, tiny_checkpoint: Path, tmp_path: Path, name: str) -> None:
    words, text = BAD_GENERATE[name]
    base = ["--model", str(tiny_checkpoint), "-o", str(tmp_path / "picture.png")]
    assert_refused(command("generate", "a cat", *base, *words), text)
    assert os.listdir(tmp_path) == []


def test_generate_keeps_the_old_picture_when_it_fails(command: Command, tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_text("mine")
    way = ["--model", str(tiny_checkpoint), "-o", str(tmp_path / "picture.png")]
    assert_refused(command("generate", "a\0cat", *way), "NUL")
    assert (tmp_path / "picture.png").read_text() == "mine"


def test_steps_of_a_bundle_are_fixed(command: Command, exported: Mapping[str, Exported], tmp_path: Path) -> None:
    bundle = exported["android"].bundle.path
    result = command("generate", "a cat", "-o", str(tmp_path / "a.png"), "--bundle", str(bundle), "--steps", "4")
    assert_refused(result, "steps: expected no such option with --bundle")


def test_long_prompt_is_cut_with_a_warning(command: Command, tiny_checkpoint: Path, tmp_path: Path) -> None:
    way = ["--model", str(tiny_checkpoint), "-o", str(tmp_path / "a.png"), "--threads", "1"]
    result = command("generate", "apple " * 16_000, *way)
    assert result.status == 0
    assert (tmp_path / "a.png").exists()


def test_export_verify_and_bench(
    command: Command,
    exported: Mapping[str, Exported],
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    monkeypatch.setattr(
        entry, "run_export", lambda model, target, *rest, **more: calls.append(target) or exported[target.name]
    )
    for target, each in exported.items():
        result = command("export", target, str(tiny_checkpoint), "--out", str(tmp_path / target))
        assert (result.status, calls[-1].name) == (0, target), result.err
        assert "Parity with PyTorch" in result.out and "Latency on this computer" in result.out
        path = str(each.bundle.path)
        result = command("verify", path, "--checkpoint", str(tiny_checkpoint), "--threads", "1")
        assert result.status == 0 and "all gates passed" in result.out, result.err
        result = command("bench", path, "--json", "--threads", "1")
        names = {runner["runner"] for runner in json.loads(result.out)["runners"]}
        assert len(names) == len(each.bundle.manifest.runtimes)


def test_export_refuses_before_it_works(command: Command, tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "weights.ckpt").write_bytes(b"\x80\x04pickle")
    out = str(tmp_path / "new")
    checkpoint = str(tiny_checkpoint)
    assert_refused(command("export", "ios", checkpoint, "--out", str(tmp_path / "there")), "--force")
    assert_refused(command("export", "ios", checkpoint, "--out", str(tmp_path / "there"), "--force"), "bundle of ours")
    assert_refused(command("export", "ios", checkpoint, "--out", f"{checkpoint}/ios"), "apart from")
    assert_refused(command("export", "ios", "/nowhere", "--out", out), "nowhere")
    assert_refused(command("export", "ios", str(tmp_path / "weights.ckpt"), "--out", out), "safetensors")
    assert sorted(os.listdir(tmp_path)) == ["there", "weights.ckpt"]


def test_verify_of_a_damaged_bundle(command: Command, copy_of: Callable[[str], Path]) -> None:
    path = copy_of("android")
    (path / "denoise.pte").unlink()
    assert_refused(command("verify", str(path)), r"denoise\.pte.*missing")
    assert_refused(command("bench", str(path)), r"denoise\.pte.*missing")
    assert_refused(command("generate", "a", "-o", str(path.parent / "a.png"), "--bundle", str(path)), "missing")


def test_verify_shows_the_table_when_a_gate_fails(command: Command, copy_of: Callable[[str], Path]) -> None:
    path = copy_of("android")
    shutil.copy(path / "golden/0/image.bin", path / "golden/1/image.bin")
    values = json.loads((path / "manifest.json").read_text())
    entries = {entry["path"]: entry for entry in values["files"]}
    entries["golden/1/image.bin"]["sha256"] = entries["golden/0/image.bin"]["sha256"]
    (path / "manifest.json").write_text(json.dumps(values))
    result = command("verify", str(path), "--threads", "1")
    assert_refused(result, "gates failed")
    assert "FAILED" in result.out


def test_demo(
    command: Command,
    exported: Mapping[str, Exported],
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo_module, "run_export", lambda model, target, *rest, **more: exported[target.name])
    result = command("demo", "--model", str(tiny_checkpoint), "--build", str(tmp_path), "--threads", "1")
    assert result.status == 0, result.err
    assert result.out.count("Parity with PyTorch") == 1
    assert result.out.count("Latency on this computer") == 1
    with Image.open(tmp_path / "demo.png") as sheet:
        assert sheet.width > 8 * 32 and sheet.height > 4 * 32


@pytest.mark.parametrize(
    ("resource", "text"),
    [("available_memory", r"GB of free memory to .*, got 0\.1 GB"), ("free_disk", "GB of free disk")],
)
def test_an_export_without_room_does_not_begin(
    resource: str, text: str, command: Command, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, resource, lambda *_: 10**8 if resource == "available_memory" else 10**4)
    assert_refused(command("export", "ios", str(tiny_checkpoint), "--out", str(tmp_path / "ios")), text)
    assert not list(tmp_path.iterdir())


def test_interrupted_export_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export", "ios", str(tiny_checkpoint), "--out", str(tmp_path / "deep/ios")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("deep/.ios.partial-*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1)  # into the lowering
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert [line for line in errors.splitlines() if line.startswith("error:")] == [
        "error: stopped by SIGTERM before it was finished; run it again"
    ]
    assert "Traceback" not in errors
    assert os.listdir(tmp_path) == []


def test_guard_says_one_line(capsys: pytest.CaptureFixture[str], command: Command) -> None:
    def fail() -> None:
        raise ExportError("two\nlines\tand \x1b[31mcolour")

    with pytest.raises(SystemExit) as end:
        guard.run(fail)
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: two lines and \\x1b[31mcolour\n"
    assert guard.one_line(MobileDiffusionError()) == "MobileDiffusionError"


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/latents"),
        OSError(errno.EROFS, os.strerror(errno.EROFS), "run/latents"),
        PermissionError(errno.EACCES, os.strerror(errno.EACCES), "run/latents"),
        RuntimeError(f"I/O error: {os.strerror(errno.EIO)} (os error 5) in run/latents"),
    ],
    ids=["full", "read-only", "not ours", "words of a library"],
)
def test_guard_says_what_a_disk_says(raised: Exception, capsys: pytest.CaptureFixture[str], command: Command) -> None:
    def fail() -> None:
        try:
            raise raised
        except Exception as error:
            raise ValueError("a library has hidden the reason") from error

    with pytest.raises(SystemExit) as end:
        guard.run(fail)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "expected a disk that can be written" in said
    assert "run/latents" in said or isinstance(raised, RuntimeError)


def test_guard_lets_defects_show_themselves(command: Command) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guard.run(fail)
