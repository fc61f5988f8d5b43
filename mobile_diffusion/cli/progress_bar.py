"""The bar that every command draws on stderr while it works.

Below the command line, functions take a `mobile_diffusion.progress.Progress`, and draw nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mobile_diffusion.cli.terminal import messages, printable
from mobile_diffusion.progress import Progress as Report
from mobile_diffusion.progress import silent


@contextmanager
def draw_progress(steady: bool = False) -> Iterator[Report]:
    """A bar on stderr; yields the function that moves it.  Without a terminal each new task is one line.

    `steady` is for work of many equal steps, such as training: the bar shows the time left in place of the time spent,
    and nothing is printed without a terminal.
    """
    console = messages()
    if not console.is_terminal:
        yield silent if steady else _line_by_line(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn() if steady else TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as display:
        task = display.add_task("starting", total=1.0)
        yield lambda what, part: display.update(task, description=printable(what), completed=part)


def _line_by_line(console: Console) -> Report:
    previous: list[str] = []

    def report(what: str, part: float) -> None:
        if previous[-1:] != [what]:
            previous.append(what)
            console.print(f"{part:4.0%} {what}", soft_wrap=True)

    return report
