"""Makes the table of Core ML packages: model x weights x layout, each run by the interpreter and compared with PyTorch.

    python -m benchmarks.coreml.variants --work /tmp/variants                     # all rows, about an hour
    python -m benchmarks.coreml.variants --work /tmp/variants emoji sd15

`emoji` is the emoji model.  The other models have random weights, in the architecture of the name with every width
divided by 10 (checkpoints/random_weights.py), and fewer recipes.  Results go to
benchmarks/results/coreml_variants.json.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path

import torch

from benchmarks.checkpoints.support import NARROW, opened
from benchmarks.measuring.command_line import Names, Threads, Work, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.coreml.options import CoreMLOptions
from export.parity.trajectories import CASES
from export.studies.variants import VariantRow, measure_variants
from mobile_diffusion.checkpoint import open_source

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "coreml_variants.json"
RECIPES = {"emoji": ("none", "int8", "palettize-8", "palettize-6", "palettize-4", "palettize-2")}
OTHER_RECIPES = ("none", "palettize-6", "palettize-4")
MODELS = ("emoji", "sd15", "sd21-v", "bk-sdm-tiny", "snapfusion", "lcm-dreamshaper")
LAYOUTS = ("CPU_AND_GPU", "CPU_AND_NE")


def rows_of(name: str, work: Path, threads: int) -> list[VariantRow]:
    """All variants of one model."""
    folder, options = (EMOJI, None) if name == "emoji" else opened(name, work, NARROW)
    source = open_source(folder, options)
    variants = [CoreMLOptions(units, compression=each) for units in LAYOUTS for each in recipes(name)]
    cases = CASES if name == "emoji" else CASES[:2]
    return measure_variants(source, variants, work / "packages", cases, threads, lambda what, _: LOGGER.info(what))


def recipes(name: str) -> tuple[str, ...]:
    """The recipes that are measured for a model."""
    return RECIPES.get(name, OTHER_RECIPES)


def keep(name: str, rows: list[VariantRow], threads: int) -> None:
    """Put a model's rows into the file, in the order of MODELS."""
    table = read_result(RESULT, {"models": {}})
    found = table["models"] | {name: [dataclasses.asdict(row) for row in rows]}
    stated = conditions(threads, torch=torch.__version__, narrow=NARROW)
    models = {each: found[each] for each in MODELS if each in found}
    write_result(RESULT, {"conditions": stated, "models": models})


def main(
    work: Work,
    models: Names = None,
    threads: Threads = 2,
) -> None:
    """Measure each model, and write after each; the work folder is emptied each time."""
    for name in chosen(models, MODELS, "model"):
        work.mkdir(parents=True, exist_ok=True)
        keep(name, rows_of(name, work, threads), threads)
        shutil.rmtree(work)


if __name__ == "__main__":
    run_script(main, __doc__)
