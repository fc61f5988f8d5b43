"""The same prompts and seeds drawn by some stages of SnapFusion's method, side by side in one labelled PNG.

    .venv/bin/python -m benchmarks.snapfusion.sheet --row teacher-50 --row teacher-8 --row student-8 --row phone

Rows are those of benchmarks/snapfusion/rows.toml; each is drawn by its ExecuTorch bundle, which the work folder keeps.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.paths import ROOT
from benchmarks.snapfusion.rows import ROWS, RUNTIME, RowPlan, bundle_of, read_rows
from export.artists.artist import bundle_artist, check_picture_path
from export.report.pictures import grid, save_picture
from mobile_diffusion.drawing import draw
from mobile_diffusion.errors import MobileDiffusionError

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


def main() -> int:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=ROWS, help="TOML file of the rows")
    parser.add_argument("--row", action="append", help=f"a column; may be repeated; by default {', '.join(CHOSEN)}")
    parser.add_argument("--prompt", action="append", help="a line of the sheet; may be repeated")
    parser.add_argument("--work", type=Path, default=Path("build/stages"), help="folder of the bundles")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT, help="PNG to write")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        check_picture_path(given.out)
        plans, prompts = read_rows(given.rows).choose(given.row or CHOSEN), given.prompt or PROMPTS
        columns = [column(plan, name, prompts, given.work, given.threads) for name, plan in plans.items()]
        titles = [f"{plan.title}, {plan.steps} steps" for plan in plans.values()]
        save_picture(grid(titles, list(zip(prompts, zip(*columns, strict=True), strict=True))), given.out)
    except MobileDiffusionError as error:
        LOGGER.error("error: %s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
