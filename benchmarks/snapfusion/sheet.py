"""The same prompts and seeds drawn by some milestones of SnapFusion, side by side in one labelled PNG.

    .venv/bin/python -m benchmarks.snapfusion.sheet --row teacher-50 --row teacher-8 --row student-8 --row phone

Rows are those of benchmarks/snapfusion/rows.toml; each is drawn by its ExecuTorch bundle, which the work folder keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.measuring.command_line import Threads, run_script
from benchmarks.paths import ROOT
from benchmarks.snapfusion.rows import ROWS, RUNTIME, RowPlan, bundle_of, read_rows
from export.artists.artist import bundle_artist, check_picture_path
from export.report.pictures import grid, save_picture
from mobile_diffusion.drawing import draw

LOGGER = logging.getLogger(__name__)
OUT = ROOT / "docs" / "pictures" / "snapfusion-sheet.png"
CHOSEN = ("teacher-50", "teacher-8", "student-8", "phone")
PROMPTS = ("red apple, 3d", "pizza, 3d", "cat, 3d", "rocket, 3d", "sun, 3d", "house, 3d", "guitar, 3d", "ghost, 3d")
SEED = 7


def column(plan: RowPlan, name: str, prompts: Sequence[str], work: Path, threads: int) -> list[NDArray[np.uint8]]:
    """Every prompt drawn by a row's bundle, (H, W, 3) each."""
    artist = bundle_artist(bundle_of(name, plan, work / "bundles", threads), RUNTIME, threads)
    LOGGER.info("drawing %s", name)
    return [draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, SEED) for prompt in prompts]


def main(
    rows: Annotated[Path, typer.Option(help="TOML file of the rows.")] = ROWS,
    row: Annotated[
        list[str] | None, typer.Option(help=f"A column; repeatable; {', '.join(CHOSEN)} by default.")
    ] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="A line of the sheet; may be repeated.")] = None,
    work: Annotated[Path, typer.Option(help="Folder of the bundles.")] = Path("build/stages"),
    threads: Threads = 2,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = OUT,
) -> None:
    """Draw the sheet."""
    check_picture_path(out)
    plans, prompts = read_rows(rows).choose(row or CHOSEN), prompt or PROMPTS
    columns = [column(plan, name, prompts, work, threads) for name, plan in plans.items()]
    titles = [f"{plan.title}, {plan.steps} steps" for plan in plans.values()]
    save_picture(grid(titles, list(zip(prompts, zip(*columns, strict=True), strict=True))), out)


if __name__ == "__main__":
    run_script(main, __doc__)
