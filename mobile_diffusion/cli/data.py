"""`mobile-diffusion data`: make the training data.

Only the display is here; the work is `mobile_diffusion.data.prepare`, imported when the command runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from mobile_diffusion.cli.command_group import CommandGroup
from mobile_diffusion.cli.progress_bar import draw_progress
from mobile_diffusion.cli.terminal import Json, show

if TYPE_CHECKING:
    from mobile_diffusion.data import Sample

app = CommandGroup(help="Make the training data.")
STYLE_NAMES = ("3d", "fluent", "flat", "noto", "noto-v1", "twemoji", "emojione")
"""Keys of `mobile_diffusion.data.STYLES`, whose import takes a quarter of a second."""


@app.callback()
def _group() -> None:
    """Make the training data."""


@app.command()
def fetch(
    out: Annotated[Path, typer.Option(help="Folder of the data set; made when absent.")] = Path("data/emoji"),
    style: Annotated[
        list[str] | None,
        typer.Option(help=f"Style to make: {', '.join(STYLE_NAMES)}. May be repeated. Default: all."),
    ] = None,
    json: Json = False,
) -> None:
    """Fetch the emoji packages with npm, render them at 128 px on white, and pair them with captions.

    An interrupted run resumes.

    Example:

        mobile-diffusion data fetch --out data/emoji --style 3d --style flat
    """
    from mobile_diffusion.data import choose_styles, prepare

    styles = choose_styles(style or ())
    with draw_progress(steady=True) as progress:
        samples = prepare(out, styles, progress)
    counts, licences = count_styles(samples), out / "LICENSES.txt"
    end = f"{len(samples)} pictures in {out}; licences in {licences}"
    show(json, {"folder": out, "licences": licences, "styles": counts}, styles_table(counts), end)


@dataclass(frozen=True)
class StyleCount:
    """The pictures of one style."""

    style: str
    train: int
    held_out: int
    licence: str


def count_styles(samples: Sequence[Sample]) -> list[StyleCount]:
    """Pictures by style and split, in the order of the samples."""
    counts = Counter((sample.style, sample.split) for sample in samples)
    licences = {sample.style: sample.licence for sample in samples}
    return [
        StyleCount(name, counts[name, "train"], counts[name, "held-out"], licence) for name, licence in licences.items()
    ]


def styles_table(counts: Sequence[StyleCount]) -> Table:
    """One row per style."""
    table = Table("style", "train", "held-out", "licence", box=None)
    for each in counts:
        table.add_row(each.style, str(each.train), str(each.held_out), each.licence)
    return table
