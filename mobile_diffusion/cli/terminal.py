"""What commands print: results on stdout, as tables or as JSON, and nothing a user or a file wrote is interpreted.

Prompts, paths and names from files may contain square brackets, which rich reads as markup, and control characters,
which a terminal obeys.  `Terminal` prints brackets as they are and control characters as their escapes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from mobile_diffusion.errors import PromptError
from mobile_diffusion.quoting import quoted

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of tables.")]

WIDTH = 110
"""Columns where stdout is not a terminal."""
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories that are not printed: control, format, half of a surrogate pair, separators of lines."""
JOINERS = "\u200c\u200d"
"""Format characters that words and emoji need."""


class Terminal(Console):
    """A console that prints every string literally."""

    def render_str(self, text: str, **settings: Any) -> Text:
        """The string without markup, emoji codes or control characters."""
        literal = {"emoji": False, "markup": False, "highlight": False}
        return super().render_str(printable(text), **settings | literal)


def results() -> Terminal:
    """The console of stdout; wide enough for the tables when it is a file or a pipe."""
    console = Terminal()
    return console if console.is_terminal else Terminal(width=WIDTH)


@cache
def messages() -> Terminal:
    """The console of stderr.  Log and bar share it, so that a line of the log is printed above the bar."""
    return Terminal(stderr=True)


def say(line: str) -> None:
    """Print one line of a command's result, however long it is."""
    results().print(line, soft_wrap=True)


def show(as_json: bool, figures: object, *screen: RenderableType) -> None:
    """Print a command's result: `figures` as JSON and nothing else, or the tables and lines of `screen`.

    `figures` is a dataclass, a mapping or a sequence of them.
    """
    if as_json:
        typer.echo(json.dumps(to_plain(figures), indent=1, allow_nan=False))
        return
    console = results()
    for part in screen:
        console.print(part, soft_wrap=isinstance(part, str))


def printable(text: str) -> str:
    r"""The text with every character that is not visible as its escape.

    >>> print(printable("red\napple \x1b[31m [/x]"))
    red\napple \x1b[31m [/x]
    """
    return "".join(escaped(character) if is_hidden(character) else character for character in text)


def typed_text(text: str) -> str:
    r"""What the user typed, in UTF-8.

    Where the locale says ASCII, Python passes every other byte of the command line on as half of a surrogate pair.
    Raises `PromptError` for bytes that are not UTF-8.

    >>> typed_text("gr\udcc3\udcbcn")
    'grün'
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise PromptError(f"prompt: expected text in UTF-8, got {quoted(text)}; set the terminal to UTF-8") from None


def is_hidden(character: str) -> bool:
    """Whether a terminal obeys a character, or shows nothing for it."""
    return unicodedata.category(character) in HIDDEN and character not in JOINERS


def escaped(character: str) -> str:
    r"""A character as Python writes it, such as "\x1b"."""
    return character.encode("unicode_escape").decode("ascii")


def to_plain(value: Any) -> Any:
    """Dataclasses as dictionaries, paths as strings, and as strings the numbers that JSON does not have."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(each) for each in value]
    if isinstance(value, Path) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    return value
