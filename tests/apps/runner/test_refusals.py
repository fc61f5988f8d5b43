"""Whatever cannot be used is refused: one line on standard error, status 2, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apps.conftest import DAMAGES, NEEDED, CopyOf, refused, reseal
from tests.apps.runner.conftest import Run


def refusal(run: Run, *arguments: object) -> str:
    return refused(run(*arguments))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--threads", "0", "1 to 256, got '0'"),
        ("--threads", "10000", "1 to 256, got '10000'"),
        ("--threads", "two", "1 to 256, got 'two'"),
        ("--seed", "-1", "0 to 18446744073709551615, got '-1'"),
        ("--seed", "18446744073709551616", "0 to 18446744073709551615"),
        ("--seed", "1.5", "got '1.5'"),
        ("--seed", "", "got ''"),
        ("--guidance", "nan", "0 to 30, got 'nan'"),
        ("--guidance", "31", "0 to 30, got '31'"),
        ("--guidance", "2,5", "0 to 30, got '2,5'"),
        ("--benchmark", "0", "1 to 10000"),
        ("--image", "a.jpg", "ends in .png"),
        ("--depth", "deep", "step or trajectory"),
        ("--previews", "/nowhere", "--previews: expected a folder that exists"),
        ("--colour", "red", "expected an option, got '--colour'"),
        ("--prompt-file", "/nowhere", "expected a file that can be read"),
    ],
)
def test_an_option(option: str, value: str, message: str, guided: Path, run: Run) -> None:
    assert message in refusal(run, "--bundle", guided, "--prompt", "a cat", option, value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--bundle: expected"),
        (("--bundle", "x"), "--prompt: expected"),
        (("--bundle", "x", "--prompt"), "--prompt: expected a value"),
        (("--bundle", "x", "--golden", "--prompt", "a"), "--golden: expected no --prompt"),
        (("--bundle", "x", "--golden", "--previews", "/tmp"), "--golden: expected no --prompt, --image, --previews"),
        (("--bundle", "x", "--prompt", "a", "--benchmark", "1", "--image", "a.png"), "expected no --image"),
        (("--bundle", "/nowhere", "--prompt", "a"), "nothing of that name"),
        (("--bundle", "/etc/passwd", "--prompt", "a"), "got a file"),
        (("--bundle", "/usr", "--prompt", "a"), "without manifest.json"),
    ],
)
def test_what_is_missing(arguments: tuple[str, ...], message: str, run: Run) -> None:
    assert message in refusal(run, *arguments)


@pytest.mark.parametrize("text", [b"\xff\xfe", b"a\0b", b"\xed\xa0\x80", b"\xc0\x80", b"a" * 1_000_001])
def test_a_prompt(text: bytes, guided: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_bytes(text)
    assert "prompt" in refusal(run, "--bundle", guided, "--prompt-file", tmp_path / "prompt")


def test_guidance_and_negative_prompt_of_a_distilled_model(distilled: Path, run: Run) -> None:
    arguments = ("--bundle", distilled, "--prompt", "a cat")
    assert "which it was distilled with, got 2" in refusal(run, *arguments, "--guidance", "2")
    assert "negative prompt" in refusal(run, *arguments, "--negative", "a dog")


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize(("spoil", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file(
    name: str, spoil: Callable[[Path], None], message: str, guided: Path, copy_of: CopyOf, run: Run, tmp_path: Path
) -> None:
    copy = copy_of(guided)
    spoil(copy / name)
    found = refusal(run, "--bundle", copy, "--prompt", "a cat", "--image", tmp_path / "a.png")
    assert message in found and name in found
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 4096, None, "half"])
def test_what_is_no_program_though_the_hash_is_right(
    content: bytes | str | None, guided: Path, copy_of: CopyOf, run: Run
) -> None:
    copy = copy_of(guided)
    program = (copy / "denoise.pte").read_bytes()
    other = (copy / "decode_image.pte").read_bytes()
    replaced = content if isinstance(content, bytes) else other if content is None else program[: len(program) // 2]
    (copy / "denoise.pte").write_bytes(replaced)
    reseal(copy, "denoise.pte")
    assert "expected an ExecuTorch program of denoise" in refusal(run, "--bundle", copy, "--prompt", "a cat")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"XnnpackBackend", b"ForeignBackend", "Backend ForeignBackend is not registered"),
        (b"XnnpackBackend", b"VulkanBackend\0", "Backend VulkanBackend is not registered"),
        (b"ET12", b"ET99", "'ET99'"),
    ],
    ids=["foreign", "vulkan", "schema"],
)
def test_a_program_of_another_backend_or_schema(
    old: bytes, new: bytes, message: str, guided: Path, copy_of: CopyOf, run: Run
) -> None:
    copy = copy_of(guided)
    program = (copy / "denoise.pte").read_bytes()
    assert old in program
    (copy / "denoise.pte").write_bytes(program.replace(old, new))
    reseal(copy, "denoise.pte")
    found = refusal(run, "--bundle", copy, "--prompt", "a cat")
    assert "denoise.pte: expected an ExecuTorch program of denoise" in found and message in found


def test_golden_vectors_of_programs_that_were_not_compared(guided: Path, copy_of: CopyOf, run: Run) -> None:
    copy = copy_of(guided)
    values = json.loads((copy / "manifest.json").read_text())
    values["runtimes"][0]["verified"] = False
    (copy / "manifest.json").write_text(json.dumps(values))
    assert "--golden: expected programs that were compared" in refusal(run, "--bundle", copy, "--golden")


def test_programs_of_two_bundles(guided: Path, distilled: Path, copy_of: CopyOf, run: Run) -> None:
    copy = copy_of(guided)
    (copy / "denoise.pte").write_bytes((distilled / "denoise.pte").read_bytes())
    reseal(copy, "denoise.pte")
    assert "its inputs or outputs are not the manifest's" in refusal(run, "--bundle", copy, "--prompt", "a cat")


def test_a_bundle_for_another_runtime(guided: Path, copy_of: CopyOf, run: Run) -> None:
    copy = copy_of(guided)
    values = json.loads((copy / "manifest.json").read_text())
    values["runtimes"][0]["name"] = "onnx"
    (copy / "manifest.json").write_text(json.dumps(values))
    assert "expected programs for xnnpack, got onnx;" in refusal(run, "--bundle", copy, "--prompt", "a cat")


def test_previews_of_a_bundle_that_has_none(guided: Path, copy_of: CopyOf, run: Run, tmp_path: Path) -> None:
    copy = copy_of(guided)
    values = json.loads((copy / "manifest.json").read_text())
    values["files"] = [entry for entry in values["files"] if entry["path"] != "preview.json"]
    (copy / "manifest.json").write_text(json.dumps(values))
    arguments = ("--bundle", copy, "--prompt", "a cat")
    assert "expected a bundle with preview.json" in refusal(run, *arguments, "--previews", tmp_path)
    assert run(*arguments).returncode == 0


def test_a_damaged_preview(guided: Path, copy_of: CopyOf, run: Run, tmp_path: Path) -> None:
    copy = copy_of(guided)
    arguments = ("--bundle", copy, "--prompt", "a cat", "--previews", tmp_path)
    (copy / "preview.json").write_text("{}")
    assert "preview.json: expected" in refusal(run, *arguments)
    reseal(copy, "preview.json")
    assert "expected the field bias, got none" in refusal(run, *arguments)


def test_a_newer_bundle(guided: Path, copy_of: CopyOf, run: Run) -> None:
    copy = copy_of(guided)
    (copy / "manifest.json").write_text('{"schema_version": 5}')
    assert "schema version 4, got 5; update" in refusal(run, "--bundle", copy, "--prompt", "a cat")


def test_a_picture_that_cannot_be_written_leaves_nothing(guided: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for place in (tmp_path / "absent" / "a.png", tmp_path / "folder.png"):
        assert "can be written" in refusal(run, "--bundle", guided, "--prompt", "a cat", "--image", place)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder.png"]


def test_help_names_every_option(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0 and done.stderr == ""
    options = ("--bundle", "--sequential", "--golden", "--steps-json", "--negative")
    assert all(option in done.stdout for option in options)
