"""The bar: what it shows in a terminal, in a pipe, and of text with brackets and control characters."""

from __future__ import annotations

import io
import re

import pytest

from mobile_diffusion.cli import progress_bar
from mobile_diffusion.cli.progress_bar import draw_progress
from mobile_diffusion.cli.terminal import Terminal, messages
from mobile_diffusion.progress import part_of, tracked

NASTY = "a cat [/x] [bold] :smile: \x1b[2J"
SHOWN = "a cat [/x] [bold] :smile: \\x1b[2J"


def drawn(monkeypatch: pytest.MonkeyPatch, terminal: bool, steady: bool) -> str:
    """What a console shows of one task, and of a second one that is reported twice."""
    console = Terminal(file=io.StringIO(), width=120, force_terminal=terminal, color_system=None)
    monkeypatch.setattr(progress_bar, "messages", lambda: console)
    with draw_progress(steady) as progress:
        for what, part in (("first", 0.0), (NASTY, 0.25), (NASTY, 0.5)):
            progress(what, part)
        if terminal:
            console.print(f"log of {NASTY}")  # above the bar
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("steady", [False, True])
def test_a_terminal_shows_text_literally(monkeypatch: pytest.MonkeyPatch, steady: bool) -> None:
    shown = drawn(monkeypatch, True, steady)
    assert re.search(rf" {re.escape(SHOWN)} ━+ +50%", shown) and "\x1b[2J" not in shown
    assert f"log of {SHOWN}\n" in shown


def test_a_pipe_gets_a_line_for_every_task(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, False, False) == f"  0% first\n 25% {SHOWN}\n"


def test_a_pipe_gets_nothing_of_steady_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, False, True) == ""


def test_the_bar_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with draw_progress() as progress:
        progress("working", 0.0)
    assert capsys.readouterr() == ("", "  0% working\n") and messages() is messages()


def test_items_are_tracked_as_a_part_of_the_whole() -> None:
    seen: list[tuple[str, float]] = []
    progress = part_of(lambda what, part: seen.append((what, part)), 0.5, 0.5)
    assert list(tracked("ab", "letters", progress)) == ["a", "b"]
    assert seen == [("letters", 0.5), ("letters", 0.75), ("letters", 1.0)]
