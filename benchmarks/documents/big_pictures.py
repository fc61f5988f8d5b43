"""Writes the tables of docs/guides/big-pictures.md from benchmarks/results.

python -m benchmarks.documents.big_pictures
"""

from __future__ import annotations

from typing import Any

from benchmarks.android.tiles import RESULT as MEMORY
from benchmarks.documents.markers import fill_page, read, table
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT
from benchmarks.quality.tile_statistics import RESULT as STATISTICS

PAGE = ROOT / "docs" / "guides" / "big-pictures.md"
DECODERS = {"narrow": "a quarter of its channels", "sd": "Stable Diffusion's"}
KINDS = {"own": "of the tile (what is exported)", "whole": "of the whole picture", "half": "of half the sides"}


def memory(rows: list[dict[str, Any]]) -> str:
    """Peak of the stage by decoder, size of the picture and size of the tiles."""
    head = ["decoder", "picture", "tile", "calls per picture", "program, MB", "peak, MB"]
    lines = [
        [
            DECODERS[row["name"]],
            str(row["pixels"]),
            str(row["tile"] or "whole"),
            str(row["calls"]),
            f"{row['program_mb']:.1f}",
            f"{row['peak_mb']:.0f}",
        ]
        for row in rows
    ]
    machine = rows[0]["conditions"]
    caption = (
        "Peak resident memory of the process while `decode_image` is loaded and runs: the C++ runner with "
        f"`--sequential`, one thread, int8-dynamic, random weights, {machine['processor']}, {machine['system']}. "
        "**No phone was used.** The picture and a strip of it come on top: 16 MB at 1024 pixels and tiles of 256."
    )
    return f"{table(head, lines)}\n\n{caption}"


def statistics(rows: list[dict[str, Any]]) -> str:
    """How far a picture by tiles is from the whole one."""
    head = [
        "tile",
        "statistics of the norms",
        "PSNR, mean, dB",
        "PSNR, worst, dB",
        "largest difference",
        "largest jump",
    ]
    lines = [
        [
            str(row["tile"]),
            KINDS[row["statistics"]],
            f"{row['psnr_db']:.1f}",
            f"{row['worst_psnr_db']:.1f}",
            f"{row['largest']:.3f}",
            f"{row['jump']:.4f}",
        ]
        for row in rows
    ]
    caption = (
        "The shipped model, four prompts, pictures of 128 pixels, PyTorch, compared with the picture decoded whole; "
        "values from 0 to 1. **largest jump**: of the difference, averaged down a column, from one column to the next."
    )
    return f"{table(head, lines)}\n\n{caption}"


def main() -> None:
    """Write them."""
    fill_page(PAGE, {"memory": memory(read(MEMORY)), "statistics": statistics(read(STATISTICS)["rows"])})


if __name__ == "__main__":
    run_script(main, __doc__)
