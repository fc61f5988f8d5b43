"""What rounding costs in quality: KID and retrieval of the emoji model's pictures, by precision of the artifact.

    .venv/bin/python -m benchmarks.android.quality --work build/precisions    # half an hour; bundles there are reused

Each row is `mobile-diffusion evaluate` with the same prompts and seeds; "torch" is the reference in float32.  Results,
with bootstrap intervals, go to benchmarks/results/android_quality.json.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.android.precisions import CHOICES, bundle_of
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


def main() -> None:
    """Measure each precision, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for bundles and sheets, 1 GB")
    parser.add_argument("--count", type=int, default=48, help="prompts of a set")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    model = open_checkpoint(EMOJI)
    rows = {"torch": row_of("torch", EMOJI, given.count, given.threads, given.work)}
    for runtime, precision in CHOICES:
        name = f"{runtime}-{precision}"
        bundle = bundle_of(model, runtime, precision, given.work, given.threads)
        rows[name] = row_of(name, bundle.path, given.count, given.threads, given.work)
        LOGGER.info("%s: %s", name, rows[name]["sets"])
        RESULT.write_text(json.dumps({"model": model.config.name, "count": given.count, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
