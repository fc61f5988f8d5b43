"""The command line as the documents use it: every command with its options, and a way to parse one without a run."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer

from export.cli.main import build_app


@cache
def root() -> Any:
    """The whole application as click has it."""
    return typer.main.get_command(build_app())


def find(words: list[str]) -> tuple[Any, list[str], list[str]]:
    """The command that `words` call (without "mobile-diffusion"), its own words, and the rest."""
    command, path, rest = root(), [], list(words)
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            raise LookupError(f"expected one of {', '.join(command.commands)}, got {name!r}")
        command = command.commands[name]
        path.append(name)
    return command, path, rest


def parse(words: list[str]) -> list[str]:
    """Parse a command and return the words that name it; raises what the command line raises, or LookupError."""
    command, path, rest = find(words)
    if rest == ["--help"] or rest == ["--version"]:
        return path
    if hasattr(command, "commands"):
        raise LookupError(f"expected a command after {' '.join(['mobile-diffusion', *path])!r}")
    with command.make_context(" ".join(path), rest):
        return path


def options(command: Any) -> set[str]:
    """The names of a command's options."""
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}


@cache
def all_options() -> frozenset[str]:
    """The options of all commands."""
    found: set[str] = set()
    todo = [root()]
    while todo:
        command = todo.pop()
        found |= options(command)
        todo += getattr(command, "commands", {}).values()
    return frozenset(found)
