"""Every command in the documents is a real one, and is run: here, or by the script that the table below names.

The commands are run in a folder whose name has spaces, with a tiny model instead of the emoji model and of Stable
Diffusion, in the order in which they stand on their page.
"""

from __future__ import annotations

import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.command_line import all_options, find, options, parse, root
from tests.docs.documents import INLINE, PAGES, ROOT, Line, lines, name_of, prose

OURS = "mobile-diffusion"
OTHERS = {
    ".", "adb", "apt-get", "cd", "cmake", "cp", "git", "mkdir", "mypy", "npm", "pip", "pre-commit", "pytest",
    "qemu-aarch64-static", "ruff", "swift", "xcrun", "zip",
}  # fmt: skip
"""Programs of others, which only have to be named in a command."""
PYTHONS = ("python", "python3", "python3.11", ".venv/bin/python")

RUN_HERE = {
    "compare", "doctor", "generate", "inspect", "verify", "bench", "milestones", "stages", "export ios",
    "coreml statistics", "coreml faults", "coreml plan", "coreml compress", "coreml chunk", "coreml table",
    "coreml combine", "coreai faults", "onnx faults", "export android", "export web", "export blocks",
}  # fmt: skip
"""Run by this test: those that need no bundle by `make test`, the others, up to minutes each, by `make test-full`."""
NOT_RUN = {
    "data fetch": ("downloads packages and renders 10,379 pictures", "make data"),
    "train autoencoder": ("trains for an hour", "make train"),
    "train unet": ("trains for an hour", "make train"),
    "train text": ("downloads a package", "make data"),
    "train curve": ("needs a run", "tests/mobile_diffusion/training"),
    "train shards": ("needs the data set", "tests/mobile_diffusion/training"),
    "train grow": ("needs a training run", "make student"),
    "train robust": ("trains for half an hour", "make student"),
    "train evolve": ("needs a training run", "make student"),
    "train distil": ("trains for half an hour", "make student"),
    "train decoder": ("trains for ten minutes", "make student"),
    "evaluate": ("needs the data set", "tests/export/studies/test_evaluate.py"),
    "demo": ("exports twice and draws 32 pictures", "make demo"),
    "export adapter": ("needs a LoRA and a bundle with adapters", "tests/export/cli/test_export_adapter.py"),
    "slim": ("needs a checkpoint of full width", "tests/mobile_diffusion/test_slim.py"),
    "serve": ("does not end by itself", "tests/apps/web"),
    "device push": ("needs a phone", "tests/export/device/test_device.py"),
    "device bench": ("needs a phone", "tests/export/device/test_device.py"),
    "device verify": ("needs a phone", "tests/export/device/test_golden_record.py"),
    "device pull": ("needs a phone", "tests/export/device/test_device.py"),
    "coreml measure": ("needs a Mac", "tests/export/studies/mac"),
    "coreml report": ("needs a Mac's file", "tests/export/studies/mac"),
}
"""Command -> why it is not run by this test, and what runs it."""
MISSING = re.compile(r"\bruns/|\bqnn\b|\bmy-|\$|a\.mlpackage")
"""In commands of RUN_HERE: files that only training makes, or that the reader has."""


def ours() -> list[Line]:
    """Every line of a document that calls our program."""
    return [line for page in PAGES for line in lines(page) if any(words[0] == OURS for words in line.commands())]


def called(words: list[str]) -> str:
    """The command that a line calls; "" for none that we have, which another test reports."""
    try:
        return " ".join(find(words[1:])[1])
    except LookupError:
        return ""


def distinct(light: bool) -> list[str]:
    """The commands to run, each once, in the order of the pages: those that need a bundle, or those that need none."""
    found: dict[tuple[str, ...], str] = {}
    for line in ours():
        for words in line.commands():
            needs_bundle = called(words).split()[0:1] in (["export"], ["coreml"]) or "build/" in line.text
            if (
                words[0] == OURS
                and called(words) in RUN_HERE
                and not MISSING.search(line.text)
                and light != needs_bundle
            ):
                found.setdefault(tuple(words), shlex.join(words))
    return list(found.values())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_understood(page: Path) -> None:
    wrong = []
    for line in lines(page):
        for words in line.commands():
            try:
                understand(words)
            except Exception as error:
                wrong.append(f"{line.place}\n    {error}")
    assert not wrong, "\n".join(wrong)


def understand(words: list[str]) -> None:
    """Parse a command of ours; of another program, see that what it names exists."""
    while words and re.fullmatch(r"\w+=\S*", words[0]):  # settings in front of a command, or alone
        words = words[1:]
    if not words:
        return
    program = words[0]
    if program in (OURS, f".venv/bin/{OURS}"):
        parse(words[1:])
    elif program == "torchrun":
        place = words.index("--no-python")  # not -m: that would run a file export.py of the user's
        assert words[place + 1] == OURS, words[place + 1]
        parse(words[place + 2 :])
    elif program == "make":
        known_target(words[1:])
    elif program in PYTHONS:
        known_script(words[1:])
    elif "/" in program:
        assert (ROOT / program).exists() or program.startswith(("build/", "~")) or "/build/" in program, program
    else:
        assert program in OTHERS, f"{program}: neither ours nor in OTHERS; a block that is no commands needs a language"


def known_target(words: list[str]) -> None:
    """The targets of `make [-C FOLDER] TARGET ...` are in its Makefile."""
    folder = Path(words[words.index("-C") + 1]) if "-C" in words else Path()
    targets = [word for word in words if word not in ("-C", folder.as_posix()) and "=" not in word and word[0] != "-"]
    parts = [ROOT / folder / "Makefile", *sorted((ROOT / folder).glob("*.mk"))]
    text = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    for target in targets:
        assert re.search(rf"^(?:[^\s:=#]+ )*{re.escape(target)}\b[^:=\n]*:(?!=)", text, re.MULTILINE), (
            f"no target {target!r}"
        )


def known_script(words: list[str]) -> None:
    """`python -m MODULE` and `python FILE` of this repository exist; nothing calls `python -m export`."""
    if words[0] == "-m":
        assert words[1].split(".")[0] != "export", "documents call mobile-diffusion, not python -m export"
        path = ROOT / words[1].replace(".", "/")
        local = words[1].split(".")[0] in ("benchmarks", "tests", "mobile_diffusion", "apps")
        assert not local or path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"no module {words[1]}"
    elif not words[0].startswith("-"):
        assert (ROOT / words[0]).exists(), f"no file {words[0]}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_in_the_text_exist(page: Path) -> None:
    """`mobile-diffusion X --option` and `--option` in running text and tables."""
    wrong = []
    for code in INLINE.findall(prose(page)):
        words = code.split()
        if words[0] == OURS and len(words) > 1 and not words[1].isupper():
            try:
                command, _, rest = find(words[1:])
                used = {word.split("=")[0] for word in rest if re.fullmatch(r"--[a-z].*|-[a-z]", word)}
                wrong += [f"{code}: no {name}" for name in used - options(command)]
            except LookupError as error:
                wrong.append(f"{code}: {error}")
        elif re.fullmatch(r"--[a-z][a-z-]*", words[0]) and "apps" not in page.parts:
            wrong += [f"{code}: no command has {words[0]}"] if words[0] not in all_options() | RUNNER else []
    assert not wrong, "\n".join(wrong)


RUNNER = {"--packed", "--sequential", "--max-restarts", "--nproc-per-node"}
"""Options of the C++ runner and of torchrun."""


def test_every_command_is_run_somewhere() -> None:
    """Each command is in one of the two tables, and what the second names exists."""
    used = {called(words) for line in ours() for words in line.commands() if words[0] == OURS}
    assert used - {""} <= RUN_HERE | set(NOT_RUN)
    assert not RUN_HERE & set(NOT_RUN)
    for command, (reason, runner) in NOT_RUN.items():
        assert reason
        parse([*command.split(), "--help"])
        if runner.startswith("make "):
            known_target(runner.split()[1:])
        else:
            assert (ROOT / runner).exists(), command


@pytest.mark.parametrize("text", distinct(light=True))
def test_command_runs(text: str, sandbox: Path) -> None:
    run(text, sandbox)


@pytest.mark.full
@pytest.mark.parametrize("text", distinct(light=False))
def test_command_with_a_bundle_runs(text: str, bundles: Path) -> None:
    run(text, bundles)


def run(text: str, sandbox: Path) -> None:
    """Run a line's commands of ours in the sandbox; what they are to write is removed first."""
    for words in Line(ROOT / "README.md", text).commands():
        if words[0] != OURS:
            continue
        for option, value in pairwise(words):
            if option == "--out" and (sandbox / value) not in (sandbox / "build/ios", sandbox / "build/android"):
                shutil.rmtree(sandbox / value, ignore_errors=True)
        again = (
            ["--force"] if words[1:3] in (["export", "ios"], ["export", "android"]) and "--force" not in words else []
        )
        root().main([*words[1:], *again], prog_name=OURS, standalone_mode=False)
        for option, value in pairwise(words):
            if option in ("-o", "--out"):
                assert (sandbox / value).exists(), f"{text}: wrote no {value}"
