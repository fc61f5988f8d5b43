"""Memory that the C++ runner uses per stage, by preset and precision.

    python -m benchmarks.android.memory --work /tmp/memory                    # all of ROWS: an hour, 20 GB of disk
    python -m benchmarks.android.memory --work /tmp/memory emoji:int8         # one row
    python -m benchmarks.android.memory --table                               # the table of what was measured

A model is exported for XNNPACK.  Weights are random where the published ones may not be distributed; they take the same
memory.  The runner calls each stage three times in five ways: all stages loaded at once, or one at a time
("sequential"); XNNPACK's packed weights in memory of the process, or in files that it maps ("packed"), which this run
writes ("cold") or an earlier run wrote ("warm").  Figures are Linux's for the process (proc(5)): the peak while a
stage is loaded and while it runs, and the resident memory after its last run, of which mapped pages can be dropped and
read again.  They were taken on this computer's processor; its kernels pack weights to the size that ARM's need, up to
padding.  Results go to benchmarks/results/android_memory.json, a row each.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.checkpoints.full_size_export import write_checkpoint
from benchmarks.measuring.command_line import Names, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import EMOJI, RESULTS, ROOT

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "android_memory.json"
RUNNER = ROOT / "apps" / "runner" / "build" / "x86_64" / "runner"
PRECISIONS = {
    "emoji": ("fp32", "fp16", "int8"),
    "snapfusion": ("fp32", "fp16", "int8-dynamic"),
    "sd15": ("fp16", "int8-dynamic"),
}
"""Large models in 8 bits with ranges found while they run: to calibrate the others takes whole pictures of PyTorch."""
ROWS = [f"{name}:{precision}" for name, precisions in PRECISIONS.items() for precision in precisions]
WAYS = {
    "together": (),
    "sequential": ("--sequential",),
    "together, packed cold": ("--packed", "PACKED"),
    "together, packed warm": ("--packed", "PACKED"),
    "sequential, packed warm": ("--sequential", "--packed", "PACKED"),
}
"""Options of the runner, in the order in which they are tried: a cold folder is warm afterwards."""
MEGA = 1e6
RUNS = 1
"""After the runner's two for warm-up."""


@dataclass(frozen=True)
class Stage:
    """One stage in one way; megabytes."""

    way: str
    stage: str
    load_ms: float
    load_peak: float
    """Most that was resident while it was loaded."""
    run_peak: float
    """Most that was resident while it ran."""
    resident: float
    """After its last run: the working set."""
    private: float
    """Of that, what no file backs."""
    mapped: float
    """Of that, what is mapped from files."""


@dataclass(frozen=True)
class Row:
    """One model in one precision."""

    name: str
    precision: str
    files: dict[str, float]
    """Megabytes of every program."""
    packed: dict[str, float]
    """Megabytes of every file of packed weights."""
    stages: list[Stage]
    conditions: dict[str, Any]


def export(name: str, precision: str, work: Path) -> Path:
    """The bundle of a row, exported once."""
    out = work / f"{name}-{precision}"
    if not out.exists():
        checkpoint = EMOJI if name == "emoji" else write_checkpoint(name, work)
        words = ["-m", "export", "android", str(checkpoint), "--out", str(out), "--runtime", "xnnpack"]
        subprocess.run([sys.executable, *words, "--precision", precision, "--check", "step"], check=True, cwd=ROOT)
    return out


def measure(name: str, precision: str, bundle: Path, work: Path) -> Row:
    """Run the runner in every way."""
    packed = work / f"{name}-{precision}-packed"
    shutil.rmtree(packed, ignore_errors=True)
    packed.mkdir(parents=True)
    stages = [stage for way in WAYS for stage in run(way, bundle, packed, work / "events.json")]
    files = {path.name: path.stat().st_size / MEGA for path in sorted(bundle.glob("*.pte"))}
    sizes = {path.name.partition("-")[0]: path.stat().st_size / MEGA for path in sorted(packed.iterdir())}
    shutil.rmtree(packed)
    return Row(name, precision, files, sizes, stages, conditions(1))


def run(way: str, bundle: Path, packed: Path, events: Path) -> list[Stage]:
    """Memory of each stage in one way."""
    options = [str(packed) if word == "PACKED" else word for word in WAYS[way]]
    words = ["--prompt", "a red apple, 3d", "--benchmark", str(RUNS), "--threads", "1", "--steps-json", str(events)]
    subprocess.run([RUNNER, "--bundle", str(bundle), *words, *options], check=True, stdout=subprocess.DEVNULL)
    found: dict[str, list[dict[str, Any]]] = {}
    for event in json.loads(events.read_text())["events"]:
        found.setdefault(event["stage"], []).append(event)
    return [_stage(way, stage, each) for stage, each in found.items()]


def _stage(way: str, stage: str, events: list[dict[str, Any]]) -> Stage:
    runs = [event for event in events if event["event"] == "run"]
    loads = [event for event in events if event["event"] == "load"]
    kilo = 1024 / MEGA
    return Stage(
        way,
        stage,
        round(loads[0]["ms"], 1),
        round(max(event["peak_kb"] for event in loads) * kilo, 1),
        round(max(event["peak_kb"] for event in runs) * kilo, 1),
        *(round(runs[-1][f"{what}_kb"] * kilo, 1) for what in ("resident", "anonymous", "mapped")),
    )


def keep(row: Row) -> None:
    """Replace the earlier row, in the order of ROWS."""
    rows = read_result(RESULT, [])
    found = {f"{each['name']}:{each['precision']}": each for each in [*rows, asdict(row)]}
    write_result(RESULT, [found[name] for name in ROWS if name in found])


def table() -> Table:
    """By preset and precision: file sizes, and the most that was resident in each way, with the share that counts."""
    result = Table(title="Memory of the C++ runner, MB: most resident (private after the largest stage's runs)")
    for column in ("model", "precision", "programs", *WAYS):
        result.add_column(column, justify="left" if column == "model" else "right")
    for row in json.loads(RESULT.read_text()):
        cells = [_cell([stage for stage in row["stages"] if stage["way"] == way]) for way in WAYS]
        result.add_row(row["name"], row["precision"], f"{sum(row['files'].values()):.0f}", *cells)
    return result


def _cell(stages: list[dict[str, Any]]) -> str:
    peak = max(max(stage["load_peak"], stage["run_peak"]) for stage in stages)
    return f"{peak:.0f} ({max(stage['private'] for stage in stages):.0f})"


def main(
    work: Annotated[Path | None, typer.Option(help="Folder for checkpoints and bundles.")] = None,
    rows: Names = None,
    only_table: Annotated[bool, typer.Option("--table", help="Print what was measured, and measure nothing.")] = False,
) -> None:
    """Measure each row, and print the table."""
    wanted = chosen(rows, ROWS, "row")
    if not only_table:
        if work is None:
            raise typer.BadParameter("expected --work FOLDER, got none")
        work.mkdir(parents=True, exist_ok=True)
        for each in wanted:
            name, precision = each.split(":")
            LOGGER.info("%s in %s", name, precision)
            keep(measure(name, precision, export(name, precision, work), work))
    Console(width=150).print(table())


if __name__ == "__main__":
    run_script(main, __doc__)
