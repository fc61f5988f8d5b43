"""`mobile-diffusion data`: make the training data.

Only the display is here; the work is `mobile_diffusion.data.prepare`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from mobile_diffusion.data import STYLES, Sample, choose_styles, prepare

app = typer.Typer(help="Make the training data.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make the training data."""


@app.command()
def fetch(
    out: Annotated[Path, typer.Option(help="Folder of the data set; made when absent.")] = Path("data/emoji"),
    style: Annotated[
        list[str] | None,
        typer.Option(help=f"Style to make, repeatable: {', '.join(STYLES)}. All when none is given."),
    ] = None,
) -> None:
    """Fetch the emoji packages with npm, render them at 128 px on white, and pair them with captions.

    An interrupted run continues where it stopped. Example:

        mobile-diffusion data fetch --out data/emoji --style 3d --style flat
    """
    console = Console()
    styles = choose_styles(style or ())
    with _progress(console) as report:
        samples = prepare(out, styles, report)
    console.print(_summary(samples))
    console.print(f"{len(samples)} pictures in {out}; licences in {out / 'LICENSES.txt'}", soft_wrap=True)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for every step that `prepare` reports."""
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as display:

        def report(task: str, done: int, total: int) -> None:
            if task not in bars:
                bars[task] = display.add_task(task, total=total)
            display.update(bars[task], completed=done, total=total)

        yield report


def _summary(samples: Sequence[Sample]) -> Table:
    """Pictures by style and split."""
    counts = Counter((sample.style, sample.split) for sample in samples)
    table = Table("style", "train", "held-out", "licence", box=None)
    licences = {sample.style: sample.licence for sample in samples}
    for name, licence in licences.items():
        table.add_row(name, str(counts[name, "train"]), str(counts[name, "held-out"]), licence)
    return table
