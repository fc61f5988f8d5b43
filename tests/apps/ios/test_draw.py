"""The Swift app's code draws what Python's ExecuTorch runner draws, byte for byte, and refuses what cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.latency.reading import parse_latency
from tests.apps.conftest import DAMAGES, LOCALES, NEEDED, CopyOf, reference, refused, reseal
from tests.apps.ios.conftest import SOURCE, Run
from tests.apps.runner.test_drawing import STAGES


def picture(path: Path, expected: np.ndarray) -> np.ndarray:
    """The pixels that were written, in the shape of the expected ones."""
    data = path.read_bytes()
    assert len(data) == expected.size
    return np.frombuffer(data, np.uint8).reshape(expected.shape)


@pytest.fixture(params=["guided", "distilled"])
def bundle(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("prompt", "seed"), [("a red apple, 3d", 7), ("", 2**64 - 1), ("İstanbul 🍎 " * 40, 2**32)])
def test_the_picture_is_pythons(prompt: str, seed: int, bundle: Path, draw: Run, tmp_path: Path) -> None:
    done = draw("--bundle", bundle, "--prompt", prompt, "--seed", seed, "--rgb", tmp_path / "a.rgb")
    assert done.returncode == 0, done.stderr
    expected = reference(bundle, prompt, seed)
    assert expected.std() > 1, "a picture of one colour proves nothing"
    assert np.array_equal(picture(tmp_path / "a.rgb", expected), expected)
    assert ("its end is ignored" in done.stderr) == (len(prompt) > 100)
    assert done.stderr.count("\n") <= 1 and done.stdout == ""


def test_guidance_and_negative_prompt(guided: Path, draw: Run, tmp_path: Path) -> None:
    arguments = ("--bundle", guided, "--prompt", "a cat", "--seed", 3, "--rgb", tmp_path / "a.rgb")
    done = draw(*arguments, "--guidance", "1.5", "--negative", "a dog")
    assert done.returncode == 0, done.stderr
    expected = reference(guided, "a cat", 3, 1.5, "a dog")
    assert np.array_equal(picture(tmp_path / "a.rgb", expected), expected)
    assert not np.array_equal(reference(guided, "a cat", 3), expected)


def test_one_stage_at_a_time_draws_the_same(bundle: Path, draw: Run, tmp_path: Path) -> None:
    done = draw("--bundle", bundle, "--prompt", "a cat", "--sequential", "--rgb", tmp_path / "a.rgb")
    assert done.returncode == 0, done.stderr
    expected = reference(bundle, "a cat", 0)
    assert np.array_equal(picture(tmp_path / "a.rgb", expected), expected)


def test_programs_of_half_precision(half: Path, draw: Run, tmp_path: Path) -> None:
    done = draw("--bundle", half, "--prompt", "a cat", "--rgb", tmp_path / "a.rgb")
    assert done.returncode == 0, done.stderr
    expected = reference(half, "a cat", 0)
    assert np.array_equal(picture(tmp_path / "a.rgb", expected), expected)


@pytest.mark.parametrize("language", LOCALES)
def test_no_language_changes_a_number(
    language: str, locales: dict[str, str], guided: Path, draw: Run, tmp_path: Path
) -> None:
    out = tmp_path / "a.rgb"
    arguments = ("--bundle", guided, "--prompt", "I i İ", "--guidance", "2.5")
    environment = {**locales, "LC_ALL": language, "LANG": language}
    done = draw(*arguments, "--rgb", out, **environment)
    assert done.returncode == 0, done.stderr
    expected = reference(guided, "I i İ", 0, 2.5)
    assert np.array_equal(picture(out, expected), expected)
    json.loads(draw(*arguments, "--benchmark", 1, **environment).stdout)


def test_times_are_a_latency_json(guided: Path, draw: Run) -> None:
    done = draw("--bundle", guided, "--prompt", "a cat", "--benchmark", "3")
    values, report = json.loads(done.stdout), parse_latency(done.stdout, "draw")
    assert json.loads(json.dumps(report.to_dict())) == values
    (runner,) = report.runners
    assert (runner.runner, runner.kind, runner.version, runner.threads) == ("executorch swift", "runtime", "1.5.1", 1)
    assert [stage.stage for stage in runner.stages] == list(STAGES)
    assert [stage.runs for stage in runner.stages] == [3, 3, 3]
    assert report.conditions.system.startswith("Linux") and report.conditions.processor


def refusal(draw: Run, *arguments: object) -> str:
    """The one line that a command is refused with."""
    return refused(draw(*arguments))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--threads", "0", "1 to 256, got '0'"),
        ("--threads", "257", "1 to 256, got '257'"),
        ("--threads", "two", "1 to 256, got 'two'"),
        ("--seed", "-1", "0 to 18446744073709551615, got '-1'"),
        ("--seed", "18446744073709551616", "0 to 18446744073709551615"),
        ("--seed", "1.5", "got '1.5'"),
        ("--seed", "+1", "got '+1'"),
        ("--seed", "", "got ''"),
        ("--guidance", "nan", "0 to 30, got 'nan'"),
        ("--guidance", "31", "0 to 30, got '31'"),
        ("--guidance", "2,5", "0 to 30, got '2,5'"),
        ("--guidance", "0x1p1", "0 to 30, got '0x1p1'"),
        ("--guidance", "٢", "0 to 30"),
        ("--benchmark", "0", "1 to 10000"),
        ("--colour", "red", "expected an option, got '--colour'"),
    ],
)
def test_an_option(option: str, value: str, message: str, guided: Path, draw: Run) -> None:
    assert message in refusal(draw, "--bundle", guided, "--prompt", "a cat", option, value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--bundle: expected"),
        (("--bundle", "x"), "--prompt: expected"),
        (("--bundle", "x", "--prompt"), "--prompt: expected a value"),
        (("--bundle", "x", "--prompt", "a", "--benchmark", "1", "--rgb", "a"), "expected no --rgb"),
        (("--bundle", "/nowhere", "--prompt", "a"), "nothing of that name"),
        (("--bundle", "/etc/passwd", "--prompt", "a"), "got a file"),
        (("--bundle", "/usr", "--prompt", "a"), "without manifest.json"),
        (("--bundle", "/usr", "--prompt", b"a\xff"), "valid Unicode in UTF-8"),
    ],
)
def test_what_is_missing(arguments: tuple[object, ...], message: str, draw: Run) -> None:
    assert message in refusal(draw, *arguments)


def test_guidance_and_negative_prompt_of_a_distilled_model(distilled: Path, draw: Run) -> None:
    arguments = ("--bundle", distilled, "--prompt", "a cat")
    assert "which it was distilled with, got 2" in refusal(draw, *arguments, "--guidance", "2")
    assert "negative prompt" in refusal(draw, *arguments, "--negative", "a dog")


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize(("spoil", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file(
    name: str,
    spoil: Callable[[Path], None],
    message: str,
    guided: Path,
    copy_of: CopyOf,
    draw: Run,
    tmp_path: Path,
) -> None:
    copy = copy_of(guided)
    spoil(copy / name)
    found = refusal(draw, "--bundle", copy, "--prompt", "a cat", "--rgb", tmp_path / "a.rgb")
    assert message in found and name in found
    assert not (tmp_path / "a.rgb").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 4096, "half", "foreign"])
def test_what_is_no_program_though_the_hash_is_right(
    content: bytes | str, guided: Path, copy_of: CopyOf, draw: Run
) -> None:
    copy = copy_of(guided)
    program = (copy / "denoise.pte").read_bytes()
    others = {"half": program[: len(program) // 2], "foreign": program.replace(b"XnnpackBackend", b"ForeignBackend")}
    (copy / "denoise.pte").write_bytes(content if isinstance(content, bytes) else others[content])
    reseal(copy, "denoise.pte")
    assert "expected an ExecuTorch program of denoise" in refusal(draw, "--bundle", copy, "--prompt", "a cat")


def test_programs_of_two_bundles(guided: Path, distilled: Path, copy_of: CopyOf, draw: Run) -> None:
    copy = copy_of(guided)
    (copy / "denoise.pte").write_bytes((distilled / "denoise.pte").read_bytes())
    reseal(copy, "denoise.pte")
    assert "denoise: expected outputs, got an error" in refusal(draw, "--bundle", copy, "--prompt", "a cat")


def test_a_newer_bundle_and_one_for_another_runtime(guided: Path, copy_of: CopyOf, draw: Run) -> None:
    copy = copy_of(guided)
    values = json.loads((copy / "manifest.json").read_text())
    values["runtimes"][0]["name"] = "onnx"
    (copy / "manifest.json").write_text(json.dumps(values))
    assert "expected programs for xnnpack, got onnx;" in refusal(draw, "--bundle", copy, "--prompt", "a cat")
    (copy / "manifest.json").write_text('{"schema_version": 5}')
    assert "schema version 4, got 5; update" in refusal(draw, "--bundle", copy, "--prompt", "a cat")


def test_a_picture_that_cannot_be_written_leaves_nothing(guided: Path, draw: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "absent" / "a.rgb", tmp_path / "folder"):
        assert "can be written" in refusal(draw, "--bundle", guided, "--prompt", "a cat", "--rgb", place)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder"]


def test_help_names_every_option(draw: Run) -> None:
    done = draw("--help")
    assert done.returncode == 0 and done.stderr == ""
    options = (SOURCE / "MobileDiffusionKit" / "Sources" / "draw" / "Options.swift").read_text()
    for name in ("--bundle", "--prompt", "--negative", "--seed", "--guidance", "--rgb", "--threads", "--sequential"):
        assert name in done.stdout and options.count(f'"{name}"') >= 1
