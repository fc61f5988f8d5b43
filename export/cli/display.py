"""What every command shows: a progress bar on stderr, results on stdout."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from mobile_diffusion.progress import Progress as Report

OURS = ("mobile_diffusion", "export")
_WIDTH = 110


def results() -> Console:
    """The console of stdout; wide enough for the tables when it is a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def quiet_libraries() -> None:
    """Show our own warnings, and of the libraries below us only errors."""
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    for name in OURS:
        logging.getLogger(name).setLevel(logging.WARNING)


def verdict(compared: Sequence[str], others: Sequence[str]) -> str:
    """What the last line says of runtimes that were held against PyTorch and passed, and of those that were not."""
    passed = "all gates passed" if compared else "nothing was compared with PyTorch"
    return f"{passed}; cannot run on this computer: {', '.join(others)}" if others else passed


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A bar on stderr; gives the function that moves it.  Without a terminal each new task is one line."""
    quiet_libraries()
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _line_by_line(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as display:
        task = display.add_task("starting", total=1.0)
        yield lambda what, part: display.update(task, description=what, completed=part)


def _line_by_line(console: Console) -> Report:
    previous: list[str] = []

    def report(what: str, part: float) -> None:
        if previous[-1:] != [what]:
            previous.append(what)
            console.print(f"{part:4.0%} {what}", soft_wrap=True)

    return report
