"""Writes the tables of docs/android.md from benchmarks/results/*.json; each marker there names its script.

    python benchmarks/android_tables.py

A table whose results are not there stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.readme_tables import ROOT, fill, read, table

RESULTS = Path(__file__).with_name("results")
PAGE = ROOT / "docs" / "android.md"
Found = dict[str, Any]


def speed(found: Found) -> str:
    """Six ways to run a stage."""
    rows = [
        [
            row["model"],
            row["stage"],
            row["title"],
            f"{row['median_ms']:.1f}",
            f"{row['relative']:.2f}",
            f"{100 * row['of_peak']:.0f} %",
            f"{row['load_s'] * 1000:.0f}",
            f"{row['first_ms']:.0f}",
            f"{row['peak_mb']:.0f}",
            f"{row['file_mb']:.0f}" if row["file_mb"] else "",
            f"{row['snr_db']:.0f}" if row["snr_db"] < 300 else "reference",
        ]
        for row in found["rows"]
        if row["model"]
    ]
    peaks = ", ".join(f"{row['gflops']:.0f} by {row['title']}" for row in found["rows"] if not row["model"])
    conditions = found["rows"][-1]["conditions"]
    note = (
        f"{conditions['processor']}, {conditions['cores']} cores, {conditions['threads']} threads, float32, "
        f"{conditions['system']}; {conditions['rounds']} rounds in turns. **time / ours**: median over the rounds. "
        "**of peak**: operations a second, two for each multiply-accumulate of the stage as PyTorch computes it, over "
        f"those of products of 2048 x 2048 matrices (billions a second: {peaks}; the larger counts). **memory**: the "
        "peak above what the process held before it loaded. Not times of a phone."
    )
    head = ["model", "stage", "way", "ms", "time / ours", "of peak", "load, ms", "first call, ms", "memory, MB"]
    return f"{table([*head, 'file, MB', 'SNR, dB'], rows)}\n\n{note}"


def delegation(found: Found) -> str:
    """What each backend takes of each architecture."""
    rows = [
        [
            row["model"],
            row["stage"],
            f"{row['runtime']} {row['precision']}",
            str(row["delegates"]),
            ", ".join(f"{count} {name.partition('.')[0]}" for name, count in row["undelegated"].items()) or "nothing",
            f"{row['cpu_seconds']:.0f}",
            f"{row['file_mb']:.1f}",
        ]
        for row in found["rows"]
        if row["precision"] == "fp32"
    ]
    note = (
        f"`emoji` is the shipped model; the others have random weights and every width divided by {found['narrow']}. "
        "Vulkan in fp16 is divided likewise, its file half as large. **lowering**: CPU seconds."
    )
    head = ["model", "stage", "backend", "delegates", "outside of them", "lowering, s", "file, MB"]
    return f"{table(head, rows)}\n\n{note}"


TABLES: dict[str, tuple[str, Callable[[Found], str]]] = {
    "speed": ("android_speed", speed),
    "delegation": ("android_delegation", delegation),
}
"""Marker -> the results' name, and what makes a table of them."""


def main() -> None:
    """Fill every table whose results are there."""
    page = PAGE.read_text(encoding="utf-8")
    for marker, (name, render) in TABLES.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            page = fill(page, marker, render(read(path)))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
