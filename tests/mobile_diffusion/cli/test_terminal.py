"""Text of users and files reaches the terminal as it is: no markup, no control characters."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.table import Table

from mobile_diffusion.cli.terminal import Terminal, printable, show, to_plain, typed_text
from mobile_diffusion.errors import PromptError

NASTY = ("a cat [/x]", "[bold]", "[link=file:///]x", ":smile:", "a\x1b[31mb", "a\rb\nc", "\x07", "\u202egnp", "\x9b31m")


def printed(content: object) -> str:
    stream = io.StringIO()
    Terminal(file=stream, width=200, force_terminal=True, color_system=None).print(content, soft_wrap=True)
    return stream.getvalue()


@pytest.mark.parametrize("text", NASTY)
def test_a_line_is_printed_literally(text: str) -> None:
    assert printed(text) == printable(text) + "\n"
    assert all(character.isprintable() for character in printable(text))


@pytest.mark.parametrize("text", NASTY)
def test_every_place_of_a_table_is_printed_literally(text: str) -> None:
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    lines = printed(table)
    assert lines.count(printable(text)) == 4
    assert all(character.isprintable() or character == "\n" for character in lines)


def test_words_of_other_scripts_and_emoji_stay() -> None:
    for text in ("grün", "苹果", "می\u200cخواهم", "👩\u200d🚀", "e\u0301", "Bonjour\u00a0!"):
        assert printable(text) == text


def test_bytes_that_a_c_locale_passes_on_are_the_words_that_were_typed() -> None:
    assert typed_text("grün") == "grün"
    assert typed_text("grün".encode().decode("ascii", "surrogateescape")) == "grün"
    for text in ("\udcff", "\ud800"):
        with pytest.raises(PromptError, match="expected text in UTF-8"):
            typed_text(text)


@dataclass(frozen=True)
class Figures:
    """What a command found."""

    path: Path
    ratios: tuple[float, ...]


def test_a_result_is_printed_as_json_or_as_tables_and_never_both(capsys: pytest.CaptureFixture[str]) -> None:
    found = Figures(Path("a [/x]"), (1.5, math.inf))
    show(True, found, "a line")
    assert json.loads(capsys.readouterr().out) == {"path": "a [/x]", "ratios": [1.5, "inf"]}
    show(False, found, "a [/x] line")
    assert capsys.readouterr().out == "a [/x] line\n"


def test_numbers_that_json_lacks_become_strings() -> None:
    assert to_plain({"a": [math.nan, -math.inf, 1, None, True]}) == {"a": ["nan", "-inf", 1, None, True]}
