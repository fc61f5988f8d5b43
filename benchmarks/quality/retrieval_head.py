"""Trains the retrieval head that judges pictures, on real pictures and the words for them.

    .venv/bin/python -m benchmarks.quality.retrieval_head --data data/emoji --out assets/quality

The method is mobile_diffusion/quality/head_training.py.  Logs the figures of every part of the data.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.measuring.command_line import Data, Threads, run_script
from mobile_diffusion.cli.progress_bar import draw_progress
from mobile_diffusion.quality.head_training import HeadSettings, make_head

LOGGER = logging.getLogger(__name__)


def main(
    out: Annotated[Path, typer.Option(help="Folder for the head and its record.")],
    data: Data = Path("data/emoji"),
    run: Annotated[Path, typer.Option(help="Folder that keeps the features.")] = Path("runs/retrieval"),
    threads: Threads = 1,
) -> None:
    """Train, write, and log the figures."""
    torch.set_num_threads(threads)
    with draw_progress(steady=True) as progress:
        record = make_head(data, out, run, HeadSettings(), progress)
    for part, figures in record["parts"].items():
        LOGGER.info("%s: %s", part, figures)


if __name__ == "__main__":
    run_script(main, __doc__)
