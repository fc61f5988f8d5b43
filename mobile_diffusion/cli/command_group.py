"""A group of commands: reads a command's help and example from its docstring, and states shared options once.

A docstring ends with "Example:" and one command line.  The example becomes the end of the command's `--help`, so it
never appears in the list of commands.  A parameter that is a dataclass becomes one option for each of its fields.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import typer
from rich.markup import escape

Command = Callable[..., None]
EXAMPLE = re.compile(r"\s*\bExample:\s*")


class CommandGroup(typer.Typer):
    """A typer application whose commands are functions with such docstrings."""

    def __init__(self, name: str | None = None, help: str | None = None, completion: bool = False) -> None:
        super().__init__(
            name=name, help=help, no_args_is_help=True, add_completion=completion, pretty_exceptions_enable=False
        )

    def __call__(self, **settings: Any) -> Any:
        """Run the command line; returns its status, and raises usage errors for the caller to show."""
        return super().__call__(**{"standalone_mode": False} | settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Command], Command]:  # type: ignore[override]
        """Add a function as a command; returns it unchanged."""

        def add(function: Command) -> Command:
            text, example = split_example(inspect.getdoc(function) or "")
            epilog = f"Example:\n\n{escape(example)}" if example else None
            settings.setdefault("short_help", escape(text.split("\n\n")[0]))
            super(CommandGroup, self).command(name, help=escape(text), epilog=epilog, **settings)(expanded(function))
            return function

        return add


def split_example(docstring: str) -> tuple[str, str]:
    """The help text and the example of a docstring; the example is "" where there is none.

    Each paragraph of the text is one line, because a terminal breaks lines where it has to.
    """
    text, *rest = EXAMPLE.split(docstring, maxsplit=1)
    paragraphs = [" ".join(each.split()) for each in text.split("\n\n")]
    return "\n\n".join(paragraphs), " ".join(rest).strip()


def expanded(function: Command) -> Command:
    """The command with the fields of each dataclass among its parameters in the place of that parameter."""
    own = inspect.signature(function, eval_str=True).parameters.values()
    groups: dict[str, Any] = {each.name: each.annotation for each in own if is_dataclass(each.annotation)}
    if not groups:
        return function
    parameters: list[inspect.Parameter] = []
    for each in own:
        found = _fields(groups[each.name]) if each.name in groups else [each]
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in found]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        function(**given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    del command.__wrapped__
    return command


def _fields(kind: type[Any]) -> list[inspect.Parameter]:
    """A parameter for each field of a dataclass, with the field's annotation and default."""
    types = typing.get_type_hints(kind, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(each.name, keyword, default=_default(each), annotation=types[each.name])
        for each in fields(kind)
    ]


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is MISSING else field.default
