"""The quality of the emoji model, for benchmarks/results/quality.json.

    .venv/bin/python -m benchmarks.quality.emoji --data data/emoji --count 48 --threads 1

Runs what `mobile-diffusion evaluate assets/emoji` runs, keeps its contact sheets in build/evaluation and copies its
figures, which say their conditions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring.command_line import Data, Threads, run_script
from benchmarks.paths import EMOJI, RESULTS
from export.cli.display import progress_bar
from export.report.quality import quality_screen
from export.studies.evaluate import evaluate_model
from mobile_diffusion.cli.terminal import results
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.quality.evaluation import EvaluationSettings
from mobile_diffusion.staging import write_bytes

RESULT = RESULTS / "quality.json"


def main(
    model: Annotated[str, typer.Option(help="Checkpoint.")] = str(EMOJI),
    data: Data = Path("data/emoji"),
    out: Annotated[Path, typer.Option(help="Folder of the contact sheets.")] = Path("build/evaluation"),
    count: Annotated[int, typer.Option(min=1, help="Prompts of a set.")] = 48,
    seed: Annotated[int, typer.Option(help="Chooses the prompts.")] = 0,
    threads: Threads = 1,
) -> None:
    """Evaluate, print the table, copy the figures."""
    settings = EvaluationSettings(count, seed)
    with progress_bar() as progress:
        evaluation, conditions, paths = evaluate_model(
            model,
            OpenOptions(),
            data,
            out,
            settings,
            training=None,
            weights=Path("data/weights"),
            runtime=None,
            threads=threads,
            progress=progress,
        )
    results().print(quality_screen(evaluation, conditions))
    write_bytes(paths[0].read_bytes(), RESULT)


if __name__ == "__main__":
    run_script(main, __doc__)
