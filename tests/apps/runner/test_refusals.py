"""Options and files that only the C++ runner has: each refusal is one line, with status 2 and nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.apps.conftest import CopyOf, reseal
from tests.apps.runner.conftest import Run, refusal


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--out", "a.jpg", "ends in .png"),
        ("--depth", "deep", "step or trajectory"),
        ("--previews", "/nowhere", "--previews: expected a folder that exists"),
        ("--prompt-file", "/nowhere", "expected a file that can be read"),
    ],
)
def test_an_option(option: str, value: str, message: str, guided: Path, run: Run) -> None:
    assert message in refusal(run, "--bundle", guided, "--prompt", "a cat", option, value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bundle", "x", "--golden", "--prompt", "a"), "--golden: expected no --prompt"),
        (
            ("--bundle", "x", "--golden", "--previews", "/tmp"),
            "--golden: expected no --prompt, --image, --batch, --out, --previews",
        ),
    ],
)
def test_options_beside_golden(arguments: tuple[str, ...], message: str, run: Run) -> None:
    assert message in refusal(run, *arguments)


@pytest.mark.parametrize("text", [b"\xff\xfe", b"a\0b", b"\xed\xa0\x80", b"\xc0\x80", b"a" * 1_000_001])
def test_a_prompt(text: bytes, guided: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_bytes(text)
    assert "prompt" in refusal(run, "--bundle", guided, "--prompt-file", tmp_path / "prompt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"XnnpackBackend", b"ForeignBackend", "Backend ForeignBackend is not registered"),
        (b"XnnpackBackend", b"VulkanBackend\0", "Backend VulkanBackend is not registered"),
        (b"ET12", b"ET99", "'ET99'"),
    ],
    ids=["foreign", "vulkan", "schema"],
)
def test_the_message_names_another_backend_or_schema(
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
