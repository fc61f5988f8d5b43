"""The quality of the shipped model, for benchmarks/results/quality.json.

    .venv/bin/python -m benchmarks.quality.emoji --data data/emoji --count 48 --threads 1

Runs what `mobile-diffusion evaluate assets/emoji` runs, keeps its contact sheets in build/evaluation and copies its
figures, which say their conditions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.paths import RESULTS
from export.cli.display import progress_bar
from export.report.quality import quality_screen
from export.studies.evaluate import evaluate_model
from mobile_diffusion.cli.terminal import results
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.quality.evaluation import EvaluationSettings
from mobile_diffusion.staging import write_bytes

RESULT = RESULTS / "quality.json"


def main() -> None:
    """Evaluate, print the table, copy the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="assets/emoji")
    parser.add_argument("--data", type=Path, default=Path("data/emoji"))
    parser.add_argument("--out", type=Path, default=Path("build/evaluation"))
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    settings = EvaluationSettings(given.count, given.seed)
    with progress_bar() as progress:
        evaluation, conditions, paths = evaluate_model(
            given.model,
            OpenOptions(),
            given.data,
            given.out,
            settings,
            training=None,
            weights=Path("data/weights"),
            runtime=None,
            threads=given.threads,
            progress=progress,
        )
    results().print(quality_screen(evaluation, conditions))
    write_bytes(paths[0].read_bytes(), RESULT)


if __name__ == "__main__":
    main()
