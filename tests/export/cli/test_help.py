"""What `--help` shows: short lists, examples that run, values that are accepted; the version; completion; start-up."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from export.cli import main
from export.compression import RECIPES
from export.coreai.options import CoreAIOptions
from export.coreml.options import CoreMLOptions
from export.parity.measure import DEPTHS
from export.targets import RUNTIMES, TARGETS
from mobile_diffusion.cli.command_group import split_example
from mobile_diffusion.config import SOLVERS
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.presets import PRESETS
from mobile_diffusion.shipped import shipped_model

ROOT = Path(__file__).resolve().parents[3]


def walk(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group below a group, by its words."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from walk(command, (*path, name))


APP: Any = typer.main.get_command(main.build_app())
EVERYTHING = dict(walk(APP))
COMMANDS = {path: command for path, command in EVERYTHING.items() if not hasattr(command, "commands")}


def example_of(command: Any) -> list[str]:
    """The words of the example that ends a command's help."""
    return shlex.split(split_example(command.epilog.replace("\\[", "["))[1])


def shown(words: Sequence[str], columns: int = 120) -> str:
    result = CliRunner().invoke(main.build_app(), [*words, "--help"], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_each_command_has_an_example_that_parses(path: tuple[str, ...]) -> None:
    words = example_of(COMMANDS[path])
    assert tuple(words[: len(path) + 1]) == ("mobile-diffusion", *path)
    COMMANDS[path].make_context(path[-1], words[len(path) + 1 :])


def test_a_wrong_option_in_an_example_would_be_found() -> None:
    with pytest.raises(typer.exceptions.TyperException, match="--sead"):
        COMMANDS["generate",].make_context("generate", ["a cat", "--sead", "7"])


@pytest.mark.parametrize("path", [(), *(path for path in EVERYTHING if path not in COMMANDS)], ids=" ".join)
def test_no_list_of_commands_shows_an_example(path: tuple[str, ...]) -> None:
    listed = shown(path)
    assert "Example" not in listed and "Commands" in listed


@pytest.mark.parametrize("path", EVERYTHING, ids=" ".join)
def test_no_help_text_loses_words_to_markup(path: tuple[str, ...]) -> None:
    """typer reads the help of an option as markup, so brackets would vanish."""
    for parameter in EVERYTHING[path].params:
        assert "[" not in (parameter.help or ""), parameter.name


def test_nobody_is_sent_to_python_m_export() -> None:
    """In a folder with an export.py of the user's own, it would run that file."""
    for path in EVERYTHING:
        assert "python -m" not in shown(path), path
    found = subprocess.run(
        ["git", "grep", "-n", "python -m export", "--", "export", "mobile_diffusion"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    allowed = ("export/__main__.py:",)
    assert [line for line in found.stdout.splitlines() if not line.startswith(allowed)] == []


def run(*words: str) -> Any:
    return CliRunner().invoke(main.build_app(), list(words), catch_exceptions=False)


def test_inspect_shows_the_example_of_its_help() -> None:
    result = run(*example_of(COMMANDS["inspect",])[1:])
    assert result.exit_code == 0 and "4 steps" in result.stdout and "256 x 256 pixels" in result.stdout


def named(path: tuple[str, ...], option: str) -> set[str]:
    """The values that the help of an option names, as far as they look like values."""
    (found,) = [each for each in COMMANDS[path].params if each.name == option]
    return set(re.findall(r"[A-Za-z][\w+]*(?:-[\w+]+)*", found.help))


def opened(**options: object) -> None:
    from mobile_diffusion.checkpoint import open_source

    open_source(shipped_model(), OpenOptions(**options))  # type: ignore[arg-type]


CHOICES: dict[tuple[tuple[str, ...], str], tuple[tuple[str, ...], Callable[[str], object]]] = {
    (("generate",), "runtime"): (
        ("coreml", "coreai", "xnnpack", "onnx"),
        lambda name: RUNTIMES[name].runner.index(":"),
    ),
    (("generate",), "solver"): (SOLVERS, lambda name: opened(solver=name)),
    (("generate",), "spacing"): (("trailing", "leading", "linspace"), lambda name: opened(spacing=name)),
    (("export", "ios"), "compute_units"): (
        ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"),
        lambda name: CoreMLOptions(compute_units=name),
    ),
    (("export", "ios"), "deployment_target"): (
        ("iOS16", "iOS17", "iOS18"),
        lambda name: CoreMLOptions(deployment_target=name),
    ),
    (("export", "ios"), "compress"): (
        ("none", "int8", "palettize-8", "palettize-6", "palettize-4", "palettize-3", "palettize-2"),
        lambda name: RECIPES[name],
    ),
    (("export", "ios"), "coreai_precision"): (("fp16", "fp32"), lambda name: CoreAIOptions(precision=name)),
    (("export", "ios"), "coreai_unit"): (
        ("cpu", "gpu", "neural_engine"),
        lambda name: CoreAIOptions(compute_unit=name),
    ),
    (("export", "ios"), "check"): (("trajectory", "step"), DEPTHS.index),
    (("export", "android"), "precision"): (
        ("fp32", "fp16", "int8", "w8a16", "int8-dynamic", "int4-dynamic"),
        lambda name: next(each for each in TARGETS["android"].runtimes if each.has(name)),
    ),
    (("slim",), "preset"): (("bk-sdm-base", "bk-sdm-tiny", "snapfusion"), lambda name: PRESETS[name]),
}
"""Option -> the values that its help names, and what accepts them."""


@pytest.mark.parametrize("option", CHOICES, ids=lambda option: f"{' '.join(option[0])} {option[1]}")
def test_values_that_a_help_text_names_are_accepted(option: tuple[tuple[str, ...], str]) -> None:
    values, accept = CHOICES[option]
    assert set(values) <= named(*option) | {"dpm-solver++", "sde-dpm-solver++"}
    for value in values:
        accept(value)


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_precisions_that_the_help_gives_a_runtime_are_its_own(name: str) -> None:
    (found,) = [each for each in COMMANDS["export", "android"].params if each.name == "precision"]
    text = found.help.replace("also has", ":").replace(",", " ")
    if name in ("coreml", "coreai", "executorch", "qnn"):
        assert name not in text
        return
    part = re.search(rf"\b{name} ?:([^;.]*)", text)
    assert part is not None
    named_here = {"fp32", *part[1].split()}
    known = {"fp32", "fp16", "int8", "w8a16", "int8-dynamic", "int4-dynamic"}
    assert named_here == {each for each in known if RUNTIMES[name].has(each)}


def test_no_help_text_names_a_runtime_that_there_is_not() -> None:
    """The package is called onnxruntime, the runtime onnx."""
    for command in COMMANDS.values():
        for text in (command.help, *(getattr(each, "help", "") for each in command.params)):
            assert "onnxruntime" not in (text or "")


def test_commands_that_print_tables_print_json() -> None:
    with_tables = """inspect, slim, demo, doctor, bench, verify, compare, evaluate, milestones, export ios,
        export android, export web, coreml chunk, coreml combine, coreml compress, coreml faults, coreml measure,
        coreml plan, coreml report, coreml statistics, coreml table, coreai faults, onnx faults, device bench,
        device pull, device verify, data fetch"""
    expected = {tuple(each.split()) for each in with_tables.split(",")}
    found = {path for path, each in COMMANDS.items() if any(one.opts == ["--json"] for one in each.params)}
    assert found == expected


def test_the_version_is_that_of_the_package() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"mobile-diffusion {version('mobile-diffusion')}\n")


def command_line(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    import os

    return subprocess.run(
        [sys.executable, *words[:-1], *shlex.split(words[-1])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_a_shell_completes_commands_and_options() -> None:
    complete = {"_MOBILE_DIFFUSION_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    result = command_line("-m", "export.cli.main", COMP_WORDS="mobile-diffusion ex", **complete)
    assert result.stdout.split() == ["export"], result
    complete["COMP_CWORD"] = "3"
    result = command_line("-m", "export.cli.main", COMP_WORDS="mobile-diffusion export ios --comp", **complete)
    assert result.stdout.split() == ["--compute-units", "--compress"], result


@pytest.mark.parametrize("words", ["-m export.cli.main --help", "-m export ios --help"])
def test_help_imports_nothing_heavy(words: str) -> None:
    result = command_line("-X", "importtime", words)
    assert result.returncode == 0 and "Usage" in result.stdout
    assert not re.search(r"\| +(torch|numpy|PIL|coremltools|executorch|onnx)$", result.stderr, re.MULTILINE)
