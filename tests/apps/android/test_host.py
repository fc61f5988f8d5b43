"""The app's core and runner on the real runtime: pictures are those of Python's ExecuTorch runner, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.latency.reading import parse_latency
from tests.apps.android.conftest import Run
from tests.apps.conftest import CopyOf, flip, reference, refused, reseal

STAGES = ("encode_text", "denoise", "decode_image")
LOCALES = ("tr-TR", "de-DE", "ar-EG-u-nu-arab")


def pixels(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), np.uint8).reshape(shape)


def check(draw: Run, bundle: Path, out: Path, expected: np.ndarray, *options: object, java: str = "") -> str:
    """Draw, hold the picture to Python's; gives what was said on standard error."""
    done = draw("--bundle", bundle, *options, "--rgb", out, options=java)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["height"], said["width"], 3) == expected.shape and said["milliseconds"] >= 0
    assert expected.std() > 1, "a picture of one colour proves nothing"
    assert np.array_equal(pixels(out, expected.shape), expected)
    return done.stderr


@pytest.mark.parametrize("name", ["guided", "distilled"])
@pytest.mark.parametrize(("prompt", "seed"), [("a red apple, 3d", 7), ("", 2**64 - 1), ("İstanbul 🍎 " * 40, 2**32)])
def test_the_picture_is_pythons(
    name: str, prompt: str, seed: int, draw: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    bundle = request.getfixturevalue(name)
    expected = reference(bundle, prompt, seed)
    said = check(draw, bundle, tmp_path / "a.rgb", expected, "--prompt", prompt, "--seed", seed)
    assert ("its end is ignored" in said) == (len(prompt) > 100) and said.count("\n") <= 1


def test_guidance_a_negative_prompt_and_stages_in_turn(guided: Path, draw: Run, tmp_path: Path) -> None:
    expected = reference(guided, "a cat", 3, 1.5, "a dog")
    assert not np.array_equal(reference(guided, "a cat", 3), expected)
    options = ("--prompt", "a cat", "--seed", 3, "--guidance", "1.5", "--negative", "a dog")
    for out, more in (("all.rgb", ()), ("turn.rgb", ("--sequential",))):
        assert check(draw, guided, tmp_path / out, expected, *options, *more) == ""


@pytest.mark.parametrize("locale", LOCALES)
def test_no_locale_changes_a_number(locale: str, guided: Path, draw: Run, tmp_path: Path) -> None:
    language, country, *digits = locale.split("-", 2)
    java = f"-Duser.language={language} -Duser.country={country}" + "".join(f" -Duser.extensions={d}" for d in digits)
    expected = reference(guided, "I i İ", 0, 2.5)
    check(draw, guided, tmp_path / "a.rgb", expected, "--prompt", "I i İ", "--guidance", "2.5", java=java)


@pytest.mark.parametrize(("name", "memory"), [("guided", ()), ("distilled", ("--sequential",))])
def test_times_are_a_latency_json(
    name: str, memory: tuple[str, ...], draw: Run, request: pytest.FixtureRequest
) -> None:
    bundle = request.getfixturevalue(name)
    java = "-Duser.language=de -Duser.country=DE"
    done = draw("--bundle", bundle, "--prompt", "a cat", "--benchmark", 3, *memory, options=java)
    values, report = json.loads(done.stdout), parse_latency(done.stdout, "draw")
    assert json.loads(json.dumps(report.to_dict())) == values
    (runner,) = report.runners
    described = (runner.runner, runner.kind, runner.version, runner.threads)
    assert described == ("executorch kotlin", "runtime", "1.5.1", 1)
    assert [(stage.stage, stage.runs) for stage in runner.stages] == [(stage, 3) for stage in STAGES]
    assert report.conditions.system.startswith("Linux") and report.conditions.processor


def refusal(draw: Run, *arguments: object) -> str:
    return refused(draw(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--bundle: expected"),
        (("--bundle", "x"), "--prompt: expected"),
        (("--bundle", "x", "--prompt"), "--prompt: expected a value"),
        (("--colour", "red"), "expected an option, got '--colour'"),
        (("--threads", "257"), "1 to 256, got '257'"),
        (("--seed", "18446744073709551616"), "0 to 18446744073709551615, got '18446744073709551616'"),
        (("--guidance", "2,5"), "0 to 30, got '2,5'"),
        (("--guidance", "nan"), "0 to 30, got 'nan'"),
        (("--benchmark", "0"), "1 to 10000"),
        (("--prompt", "a", "--benchmark", "1", "--rgb", "a.rgb"), "expected no --rgb"),
        (("--bundle", "/nowhere", "--prompt", "a"), "nothing of that name"),
        (("--bundle", "/usr", "--prompt", "a"), "without manifest.json"),
    ],
)
def test_what_cannot_be_used(arguments: tuple[str, ...], message: str, draw: Run) -> None:
    assert message in refusal(draw, *arguments)


def test_guidance_and_negative_prompt_of_a_distilled_model(distilled: Path, draw: Run) -> None:
    arguments = ("--bundle", distilled, "--prompt", "a cat")
    assert "which it was distilled with, got 2" in refusal(draw, *arguments, "--guidance", "2")
    assert "negative prompt" in refusal(draw, *arguments, "--negative", "a dog")


def half(program: bytes) -> bytes:
    return program[: len(program) // 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda program: b"",
        lambda program: b"hello",
        lambda program: b"\0" * 4096,
        half,
        lambda program: program.replace(b"XnnpackBackend", b"ForeignBackend"),
        lambda program: program.replace(b"ET12", b"ET99"),
    ],
    ids=["empty", "text", "zeros", "half", "foreign backend", "newer schema"],
)
def test_what_is_no_program_though_the_hash_is_right(
    change: Callable[[bytes], bytes], guided: Path, copy_of: CopyOf, draw: Run, tmp_path: Path
) -> None:
    copy = copy_of(guided)
    program = (copy / "denoise.pte").read_bytes()
    assert change(program) != program
    (copy / "denoise.pte").write_bytes(change(program))
    reseal(copy, "denoise.pte")
    found = refusal(draw, "--bundle", copy, "--prompt", "a cat", "--rgb", tmp_path / "a.rgb")
    assert "expected an ExecuTorch program of denoise" in found
    assert not (tmp_path / "a.rgb").exists()


@pytest.mark.parametrize(
    ("source", "program", "message"),
    [
        ("guided", "decode_image.pte", "denoise.pte: expected an ExecuTorch program of denoise, got an error"),
        ("distilled", "denoise.pte", "denoise: expected outputs, got an error"),
    ],
)
def test_programs_of_another_stage_or_bundle(
    source: str, program: str, message: str, copy_of: CopyOf, draw: Run, request: pytest.FixtureRequest
) -> None:
    copy = copy_of(request.getfixturevalue("guided"))
    (copy / "denoise.pte").write_bytes((request.getfixturevalue(source) / program).read_bytes())
    reseal(copy, "denoise.pte")
    assert message in refusal(draw, "--bundle", copy, "--prompt", "a cat")


def test_a_damaged_bundle(guided: Path, copy_of: CopyOf, draw: Run) -> None:
    copy = copy_of(guided)
    flip(copy / "denoise.pte")
    assert "denoise.pte: expected SHA-256" in refusal(draw, "--bundle", copy, "--prompt", "a cat")


def test_a_picture_that_cannot_be_written_leaves_nothing(guided: Path, draw: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "absent" / "a.rgb", tmp_path / "folder"):
        assert "can be written" in refusal(draw, "--bundle", guided, "--prompt", "a cat", "--rgb", place)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_a_bundle_that_can_only_be_read(guided: Path, copy_of: CopyOf, draw: Run, tmp_path: Path) -> None:
    copy = copy_of(guided)
    for path in (*copy.rglob("*"), copy):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        expected = reference(guided, "a cat", 1)
        check(draw, copy, tmp_path / "a.rgb", expected, "--prompt", "a cat", "--seed", 1)
    finally:
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755)


def test_too_little_memory(guided: Path, draw: Run) -> None:
    done = draw("--bundle", guided, "--prompt", "a cat", options="-Xmx8m")
    assert done.returncode == 2 and "expected enough memory, got none" in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_help_names_every_option(draw: Run) -> None:
    done = draw("--help")
    assert done.returncode == 0 and done.stderr == ""
    options = ("--bundle", "--prompt", "--negative", "--seed", "--guidance", "--rgb", "--sequential", "--benchmark")
    assert all(option in done.stdout for option in options)
