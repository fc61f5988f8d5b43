"""What commands show while they work: progress on stderr, and only the warnings that are ours."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from mobile_diffusion.cli.terminal import Terminal, printable
from mobile_diffusion.progress import Progress as Report

OURS = ("mobile_diffusion", "export")


def quiet_libraries() -> None:
    """Show our own warnings, but only the errors of other libraries."""
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(PrintableFormatter())
    for name in OURS:
        logging.getLogger(name).setLevel(logging.WARNING)


class PrintableFormatter(logging.Formatter):
    """The message alone, with control characters as their escapes."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return printable(super().format(record))


def verdict(compared: Sequence[str], others: Sequence[str]) -> str:
    """The end of the last line: the result for the runtimes that were compared with PyTorch, and what was not run."""
    passed = "all gates passed" if compared else "nothing was compared with PyTorch"
    return f"{passed}; cannot run on this computer: {', '.join(others)}" if others else passed


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A bar on stderr; yields the function that moves it.  Without a terminal each new task is one line."""
    quiet_libraries()
    console = Terminal(stderr=True)
    if not console.is_terminal:
        yield _line_by_line(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as display:
        task = display.add_task("starting", total=1.0)
        yield lambda what, part: display.update(task, description=printable(what), completed=part)


def _line_by_line(console: Terminal) -> Report:
    previous: list[str] = []

    def report(what: str, part: float) -> None:
        if previous[-1:] != [what]:
            previous.append(what)
            console.print(f"{part:4.0%} {what}", soft_wrap=True)

    return report
