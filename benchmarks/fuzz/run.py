"""Runs every target of the catalogue on damaged inputs, each in a process of its own, and writes down how they ended.

    python -m benchmarks.fuzz.run --work /tmp/fuzz                    # a million cases; `make fuzz` does the same
    python -m benchmarks.fuzz.run --work /tmp/fuzz --cases 1000 png

The valid inputs are written by this project; two bundles of a small model with random weights are exported for those
that a bundle has.  An input that fails is kept in the work folder.  Results go to benchmarks/results/fuzz.json.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from assets.golden.models import SMALL
from benchmarks.fuzz.bundles import bundle_targets
from benchmarks.fuzz.targets import TARGETS
from benchmarks.fuzz.worker import LAST
from benchmarks.measuring.command_line import Names, Work, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import EMOJI, RESULTS
from mobile_diffusion.checkpoint import save_checkpoint, untrained_model
from mobile_diffusion.errors import ExportError
from mobile_diffusion.tokenization.tokenizer import open_tokenizer

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "fuzz.json"
MILLION = 1_000_000
TENTHS = 10
"""Cases of a quick target for each of a slow one."""
HOURS = 4
"""Hours after which a target counts as one that never ends."""


def export_bundles(work: Path) -> Path:
    """Export the small model once for both phones; returns the folder of the bundles."""
    folder = work / "bundles"
    if not (folder / "ios" / "manifest.json").is_file():
        torch.manual_seed(0)
        tokenizer = open_tokenizer("wordpiece", EMOJI / "tokenizer.json", SMALL.text.max_tokens)
        save_checkpoint(untrained_model(SMALL, tokenizer), work / "model", overwrite=True)
        for target in ("android", "ios"):
            words = ("export", target, str(work / "model"), "--out", str(folder / target), "--check", "step")
            subprocess.run([sys.executable, "-m", "export.cli.main", *words], check=True, stdout=subprocess.DEVNULL)
    return folder


def run_target(name: str, cases: int, seed: int, bundles: Path, keep: Path) -> dict[str, Any]:
    """Run one target; a process that dies is a failure, and its last case is kept."""
    words = ("-m", "benchmarks.fuzz.worker", name, "--cases", str(cases), "--seed", str(seed))
    places = ("--bundles", str(bundles), "--keep", str(keep))
    try:
        done = subprocess.run([sys.executable, *words, *places], capture_output=True, text=True, timeout=HOURS * 3600)
    except subprocess.TimeoutExpired:
        return died(name, keep, f"no end within {HOURS} hours")
    if done.returncode == 0:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    reason = (done.stderr.strip().splitlines() or [""])[-1]
    return died(name, keep, f"the process ended with {done.returncode}: {reason[:200]}")


def died(name: str, keep: Path, problem: str) -> dict[str, Any]:
    """The row of a target whose process did not come to its end."""
    example = f"{name}-{LAST}"
    if (keep / LAST).is_file():
        (keep / LAST).replace(keep / example)
    return {"target": name, "cases": 0, "failed": 1, "failures": [{"problem": problem, "example": example}]}


def main(
    work: Work,
    targets: Names = None,
    cases: Annotated[int, typer.Option(min=1, help="Cases of each target; all together a million by default.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the changes.")] = 0,
    record: Annotated[bool, typer.Option(help="Write the results to benchmarks/results/fuzz.json.")] = True,
) -> None:
    """Run them, as many at a time as there are processors."""
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    bundles = export_bundles(work)
    known = {**TARGETS, **bundle_targets(bundles)}
    names = chosen(targets, known, "target")
    shares = {name: 1 if target.slow else TENTHS for name, target in known.items()}
    count = {name: cases or -(-MILLION * share // sum(shares.values())) for name, share in shares.items()}
    rows: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row in pool.map(lambda name: run_target(name, count[name], seed, bundles, work / name), names):
            rows[row["target"]] = row
            LOGGER.info("%s", json.dumps(row))
    if record:
        kept = {row["target"]: row for row in read_result(RESULT, {"rows": []})["rows"] if row["target"] in known}
        made = {**kept, **rows}
        write_result(
            RESULT, {"conditions": conditions(1, seed=seed), "rows": [made[name] for name in known if name in made]}
        )
    if failing := [name for name, row in rows.items() if row["failures"]]:
        raise ExportError(f"expected no failures, got some of {', '.join(failing)}; their inputs are in {work}")


if __name__ == "__main__":
    run_script(main, __doc__)
