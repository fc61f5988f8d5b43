"""Brackets and control characters in prompts, paths and names, through the whole command line; other locales."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from export.job.run import Exported
from mobile_diffusion.pipeline import Pipeline
from tests.export.cli.test_commands import Command, assert_refused, command

__all__ = ["command"]

ROOT = Path(__file__).resolve().parents[3]
NASTY = "a cat [/x] [bold] \x1b[31m"
SHOWN = "a cat [/x] [bold] \\x1b[31m"


@pytest.fixture
def nasty_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny model in a folder of a nasty name, with a nasty name of its own."""
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "[red] \x1b[2J"))
    values = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(values | {"name": NASTY}))
    return folder


def assert_printable(text: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in text), repr(text)


def test_generate_prints_prompt_and_path_as_they_are(command: Command, nasty_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "[link]\x07.png"
    result = command("generate", NASTY, "--model", str(nasty_checkpoint), "-o", str(out), "--threads", "1")
    assert result.status == 0, result.err
    assert f'"{SHOWN}" seed 0' in result.out and "[link]\\x07.png" in result.out
    assert_printable(result.out + result.err)
    with Image.open(out) as picture:
        assert picture.size == (32, 32)


def test_inspect_prints_names_of_files_as_they_are(command: Command, nasty_checkpoint: Path) -> None:
    result = command("inspect", str(nasty_checkpoint), "--steps", "3")
    assert result.status == 0, result.err
    assert SHOWN in result.out and "[red] \\x1b[2J" in result.out and "3 steps" in result.out
    assert_printable(result.out)


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "a", "--model", "[/x]\x1b[31m"],
        ["generate", "a", "--bundle", "[/x]\x1b[31m"],
        ["verify", "[/x]\x1b[31m"],
        ["export", "ios", "[/x]\x1b[31m"],
        ["coreml", "statistics", "[/x]\x1b[31m"],
        ["milestones", "[/x]\x1b[31m"],
        ["bench", "[/x]\x1b[31m"],
        ["bench", "a", "--[/x]\x1b[31m"],
        ["[/x]\x1b[31m"],
    ],
)
def test_refusals_show_what_was_given_on_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = command(*words)
    assert_refused(result, r"\[/x\].*x1b\[31m")
    assert_printable(result.out + result.err)


def test_a_wrong_option_is_one_line_that_names_the_help(command: Command) -> None:
    result = command("generate", "a cat", "--sead", "7")
    assert_refused(result, r"No such option: --sead.*; see mobile-diffusion generate --help")
    assert len(result.err.splitlines()) == 1 and result.out == ""


def test_a_group_without_a_command_shows_its_help(command: Command) -> None:
    result = command("export")
    assert result.status == 2 and "android" in result.out and result.err == ""


@pytest.mark.parametrize("count", [1, 3])
def test_pytorch_draws_on_the_threads_that_are_asked_for(
    command: Command, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    before, used, run = torch.get_num_threads(), set(), Pipeline.run

    def noting(self: Pipeline, stage: str, /, **arrays: object) -> object:
        used.add(torch.get_num_threads())
        return run(self, stage, **arrays)  # type: ignore[arg-type]

    monkeypatch.setattr(Pipeline, "run", noting)
    way = ["--model", str(tiny_checkpoint), "-o", str(tmp_path / "a.png"), "--threads", str(count)]
    assert command("generate", "a cat", *way).status == 0
    assert used == {count} and torch.get_num_threads() == before


LOCALES = {
    "C": {"LC_ALL": "C"},
    "C without UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "UTF-8": {"LC_ALL": "C.UTF-8"},
}


def draw_in_process(locale: Mapping[str, str], checkpoint: Path, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """`generate` with words that are not ASCII, in prompt and path."""
    names = ("LC_ALL", "LC_CTYPE", "LANG", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "PYTHONIOENCODING")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    words = ["grüner Käse 苹果", "--negative", "Äpfel", "-o", str(folder / "grün.png")]
    return generate_in_process(words, checkpoint, environment | locale)


def generate_in_process(
    words: Sequence[str], checkpoint: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    command = [
        sys.executable,
        "-m",
        "export.cli.main",
        "generate",
        *words,
        "--model",
        str(checkpoint),
        "--threads",
        "1",
    ]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300)


def test_the_prompt_is_the_users_words_in_every_locale(tiny_checkpoint: Path, tmp_path: Path) -> None:
    pictures = set()
    for name, locale in LOCALES.items():
        folder = tmp_path / name
        folder.mkdir()
        result = draw_in_process(locale, tiny_checkpoint, folder)
        assert result.returncode == 0, result.stderr.decode(errors="replace")
        (picture,) = folder.iterdir()
        assert picture.name == "grün.png"
        pictures.add(picture.read_bytes())
    assert len(pictures) == 1


def test_what_the_model_cannot_read_is_one_line_each(tiny_checkpoint: Path, tmp_path: Path) -> None:
    picture, out = tmp_path / "logo.png", tmp_path / "a.png"
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(picture)
    words = ["🍎 แอปเปิล, 3d", "--image", str(picture), "-o", str(out)]
    result = generate_in_process(words, tiny_checkpoint, os.environ | LOCALES["UTF-8"])
    lines = [line for line in result.stderr.decode().splitlines() if not line.lstrip()[:1].isdigit()]
    assert result.returncode == 0 and out.is_file()
    assert lines == [
        f"{picture}: has transparent pixels; they are put on white",
        'prompt: the model does not know "🍎", "แอปเปิล", which has no meaning in the picture; use other words',
    ]


def test_json_has_the_figures_of_the_tables(command: Command, exported: Mapping[str, Exported]) -> None:
    folder = str(exported["android"].bundle.path)
    table, result = command("verify", folder, "--threads", "1"), command("verify", folder, "--threads", "1", "--json")
    values = json.loads(result.out)
    assert (table.status, result.status, values["passed"]) == (0, 0, True)
    for row in values["summary"]:
        assert f"{row['runtime']} {row['precision']}" in table.out and f"{row['limit']:g} dB" in table.out
        assert row["worst"] >= 300 or f"{row['worst']:.1f} dB" in table.out
    assert {row["runtime"] for row in values["summary"]} == {"xnnpack", "onnx"}


@pytest.mark.full
def test_inspect_json_says_what_export_makes_of_the_same_options(
    command: Command, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    options = ["--size", "64x32", "--steps", "2", "--solver", "euler", "--spacing", "trailing", "--guidance", "5"]
    said = json.loads(command("inspect", str(tiny_checkpoint), *options, "--json").out)
    out = tmp_path / "android"
    words = ["--runtime", "xnnpack", "--check", "step", "--threads", "1", "--json", "--out", str(out)]
    made = command("export", "android", str(tiny_checkpoint), *options, *words)
    assert made.status == 0, made.err
    figures = json.loads(made.out)
    assert figures["parity"]["passed"] and figures["latency"]["runners"] and figures["bundle"] == str(out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert (said["width"], said["height"]) == (64, 32) == (manifest["model"]["width"], manifest["model"]["height"])
    assert said["changes"] == manifest["model"]["changes"]
    schedule, own = manifest["schedule"], said["schedule"]
    assert (own["steps"], own["solver"], own["spacing"]) == (2, "euler", "trailing")
    assert (len(schedule["timesteps"]), schedule["solver"], schedule["spacing"]) == (2, "euler", "trailing")
    assert own["guidance"] == schedule["guidance_default"] == 5
