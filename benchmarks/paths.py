"""Where the benchmarks read and write: the repository, the emoji model, the folder of results."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
"""One JSON file for each script that measures; the tables of the documents are made of them."""
EMOJI = ROOT / "assets" / "emoji"
