"""Every language refuses the same things: one line on standard error, status 2, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apps.conftest import DAMAGES, NEEDED, CopyOf, refused, reseal
from tests.apps.languages import Language

CAT = ("--prompt", "a cat")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--threads", "0", "1 to 256, got '0'"),
        ("--threads", "257", "1 to 256, got '257'"),
        ("--threads", "two", "1 to 256, got 'two'"),
        ("--seed", "-1", "0 to 18446744073709551615, got '-1'"),
        ("--seed", "18446744073709551616", "0 to 18446744073709551615, got '18446744073709551616'"),
        ("--seed", "1.5", "got '1.5'"),
        ("--seed", "+1", "got '+1'"),
        ("--seed", "", "got ''"),
        ("--guidance", "nan", "a number up to 30, got 'nan'"),
        ("--guidance", "31", "a number up to 30, got '31'"),
        ("--guidance", "2,5", "a number up to 30, got '2,5'"),
        ("--guidance", "0x1p1", "a number up to 30, got '0x1p1'"),
        ("--guidance", "-inf", "a number up to 30, got '-inf'"),
        ("--guidance", "-1e999", "a number up to 30, got '-1e999'"),
        ("--guidance", "٢", "a number up to 30"),
        ("--benchmark", "0", "1 to 10000"),
        ("--colour", "red", "expected an option, got '--colour'"),
    ],
)
def test_an_option(option: str, value: str, message: str, guided: Path, language: Language) -> None:
    assert message in refused(language.draw("--bundle", guided, *CAT, option, value))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--bundle: expected"),
        (("--bundle", "x"), "--prompt: expected"),
        (("--bundle", "x", "--prompt"), "--prompt: expected a value"),
        (("--bundle", "/nowhere", "--prompt", "a"), "nothing of that name"),
        (("--bundle", "/etc/passwd", "--prompt", "a"), "got a file"),
        (("--bundle", "/usr", "--prompt", "a"), "without manifest.json"),
    ],
)
def test_missing_arguments(arguments: tuple[str, ...], message: str, language: Language) -> None:
    assert message in refused(language.draw(*arguments))


def test_a_picture_beside_a_benchmark(language: Language, tmp_path: Path) -> None:
    option, file = language.picture(tmp_path)
    found = refused(language.draw("--bundle", "x", *CAT, "--benchmark", "1", option, file))
    assert f"--benchmark: expected no {option}" in found


def test_a_prompt_that_is_not_utf8(guided: Path, language: Language) -> None:
    if not language.sees_bytes:
        assert language.draw("--bundle", guided, "--prompt", b"a\xff").returncode == 0
        return
    assert "UTF-8" in refused(language.draw("--bundle", guided, "--prompt", b"a\xff"))


def test_guidance_and_negative_prompt_of_a_distilled_model(distilled: Path, language: Language) -> None:
    arguments = ("--bundle", distilled, *CAT)
    assert "which it was distilled with, got 2" in refused(language.draw(*arguments, "--guidance", "2"))
    assert "negative prompt" in refused(language.draw(*arguments, "--negative", "a dog"))


def test_guidance_of_a_model_without(unguided: Path, language: Language) -> None:
    found = refused(language.draw("--bundle", unguided, *CAT, "--guidance", "2"))
    assert "guidance: expected 1 or less, as this model was exported without guidance, got 2; export it with" in found


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file(
    name: str,
    damage: Callable[[Path], None],
    message: str,
    guided: Path,
    copy_of: CopyOf,
    language: Language,
    tmp_path: Path,
) -> None:
    copy, (option, file) = copy_of(guided), language.picture(tmp_path)
    damage(copy / name)
    found = refused(language.draw("--bundle", copy, *CAT, option, file))
    assert message in found and name in found
    assert not file.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda program, other: b"",
        lambda program, other: b"hello",
        lambda program, other: b"\0" * 4096,
        lambda program, other: other,
        lambda program, other: program[: len(program) // 2],
        lambda program, other: program.replace(b"XnnpackBackend", b"ForeignBackend"),
        lambda program, other: program.replace(b"XnnpackBackend", b"VulkanBackend\0"),
        lambda program, other: program.replace(b"ET12", b"ET99"),
    ],
    ids=["empty", "text", "zeros", "another stage", "half", "foreign backend", "vulkan", "newer schema"],
)
def test_a_file_that_is_no_program_of_the_stage(
    change: Callable[[bytes, bytes], bytes], guided: Path, copy_of: CopyOf, language: Language, tmp_path: Path
) -> None:
    copy, (option, file) = copy_of(guided), language.picture(tmp_path)
    program, other = (copy / "denoise.pte").read_bytes(), (copy / "decode_image.pte").read_bytes()
    changed = change(program, other)
    assert changed != program
    (copy / "denoise.pte").write_bytes(changed)
    reseal(copy, "denoise.pte")
    assert "expected an ExecuTorch program of denoise" in refused(language.draw("--bundle", copy, *CAT, option, file))
    assert not file.exists()


def test_programs_of_two_bundles(guided: Path, distilled: Path, copy_of: CopyOf, language: Language) -> None:
    copy = copy_of(guided)
    (copy / "denoise.pte").write_bytes((distilled / "denoise.pte").read_bytes())
    reseal(copy, "denoise.pte")
    assert language.other_bundle in refused(language.draw("--bundle", copy, *CAT))


def test_a_bundle_for_another_runtime(guided: Path, copy_of: CopyOf, language: Language) -> None:
    copy = copy_of(guided)
    values = json.loads((copy / "manifest.json").read_text())
    values["runtimes"][0]["name"] = "onnx"
    (copy / "manifest.json").write_text(json.dumps(values))
    assert "expected programs for xnnpack, got onnx;" in refused(language.draw("--bundle", copy, *CAT))


def test_a_newer_bundle(guided: Path, copy_of: CopyOf, language: Language) -> None:
    copy = copy_of(guided)
    (copy / "manifest.json").write_text('{"schema_version": 8}')
    assert "schema version 7, got 8; update" in refused(language.draw("--bundle", copy, *CAT))


def test_a_picture_that_cannot_be_written_leaves_nothing(guided: Path, language: Language, tmp_path: Path) -> None:
    option, file = language.picture(tmp_path)
    file.mkdir()
    for place in (tmp_path / "absent" / file.name, file):
        assert "can be written" in refused(language.draw("--bundle", guided, *CAT, option, place))
    assert [path.name for path in tmp_path.rglob("*")] == [file.name]
