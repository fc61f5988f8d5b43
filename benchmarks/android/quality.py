"""What rounding costs in quality: KID and retrieval of the emoji model's pictures, by precision of the artifact.

    .venv/bin/python -m benchmarks.android.quality --work build/precisions    # half an hour; bundles there are reused

Each row is `mobile-diffusion evaluate` with the same prompts and seeds; "torch" is the reference in float32.  Results,
with bootstrap intervals, go to benchmarks/results/android_quality.json.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.android.precisions import CHOICES, bundle_of
from benchmarks.measuring.command_line import Threads, Work, run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import EMOJI, RESULTS, ROOT
from export.studies.evaluate import evaluate_model
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.progress import silent
from mobile_diffusion.quality.evaluation import EvaluationSettings

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "android_quality.json"


def row_of(name: str, opened: Path, count: int, threads: int, work: Path) -> dict[str, Any]:
    """KID and retrieval of the pictures of a checkpoint or a bundle."""
    evaluation, conditions, _ = evaluate_model(
        str(opened),
        OpenOptions(),
        ROOT / "data" / "emoji",
        work / f"quality-{name}",
        EvaluationSettings(count, 0),
        training=None,
        weights=ROOT / "data" / "weights",
        runtime=None,
        threads=threads,
        progress=silent,
    )
    sets = {
        each.name: {
            "kid": asdict(each.quality.kid),
            "recall_5": asdict(each.quality.retrieval.recall_5),
            "cosine": asdict(each.quality.retrieval.cosine),
        }
        for each in evaluation.sets
    }
    return {"sets": sets, "conditions": conditions}


def main(
    work: Work,
    count: Annotated[int, typer.Option(min=1, help="Prompts of a set.")] = 48,
    threads: Threads = 2,
) -> None:
    """Measure each precision, and write after each."""
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    model = open_checkpoint(EMOJI)
    stated = conditions(threads)
    rows = {"torch": row_of("torch", EMOJI, count, threads, work)}
    for runtime, precision in CHOICES:
        name = f"{runtime}-{precision}"
        bundle = bundle_of(model, runtime, precision, work, threads)
        rows[name] = row_of(name, bundle.path, count, threads, work)
        LOGGER.info("%s: %s", name, rows[name]["sets"])
        write_result(RESULT, {"model": model.config.name, "count": count, "conditions": stated, "rows": rows})


if __name__ == "__main__":
    run_script(main, __doc__)
