"""The page of all commands, written from the command line itself: `<!-- commands -->` becomes a section per command."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from export.cli.main import build_app

MARK = "<!-- commands -->"


def leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    for name, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from leaves(each, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


def section(path: tuple[str, ...], command: Any) -> str:
    """What a command does, its arguments and its options."""
    parameters = [each for each in command.params if each.name != "help"]
    rows = [f"| {name_of(each)} | {cell(each)} |" for each in parameters]
    text = inspect.cleandoc(command.help or "")
    table = ["| option | meaning |", "| --- | --- |", *rows] if rows else []
    return "\n".join([f"## {' '.join(path)}", "", fenced(text), "", *table, ""])


def fenced(text: str) -> str:
    """Indented lines of a help text as a block of code, which is what they are."""
    lines: list[str] = []
    for block in text.split("\n\n"):
        inner = inspect.cleandoc(block)
        lines += ["```", inner, "```"] if block.startswith("    ") else [block]
        lines.append("")
    return "\n".join(lines).rstrip()


def name_of(parameter: Any) -> str:
    """`--out`, `-o`, or `CHECKPOINT` for an argument."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def cell(parameter: Any) -> str:
    """Help and default of a parameter in one line."""
    help_text = " ".join((getattr(parameter, "help", None) or "").split())
    default = parameter.default
    shown = "" if default in (None, False, "", (), []) or callable(default) else f" Default: `{default}`."
    return (help_text + shown).replace("|", "\\|").replace("<", "&lt;")


def reference() -> str:
    """All sections."""
    root = typer.main.get_command(build_app())
    return "\n".join(section(path, command) for path, command in leaves(root, ("mobile-diffusion",)))


def read_source(app: Any, name: str, source: list[str]) -> None:
    """Fill the page that has the mark."""
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, reference())


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", read_source)
    return {"parallel_read_safe": True}
