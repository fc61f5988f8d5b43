"""What the C++ runner holds in memory, stage by stage, by preset and precision.

    python -m benchmarks.android.memory --work /tmp/memory                    # all of ROWS: an hour, 20 GB of disk
    python -m benchmarks.android.memory --work /tmp/memory emoji:int8         # one row
    python -m benchmarks.android.memory --table                               # the table of what was measured

A model is exported for XNNPACK (random weights where the published ones cannot be shipped: they take the same memory),
and the runner calls each stage three times in five ways: all stages held at once, or one at a time ("sequential");
with XNNPACK's packed weights in memory of the process, or in files that it maps ("packed"), made ("cold") or found
from the time before ("warm").  Figures are Linux's for the process (proc(5)): the peak while a stage is loaded and
while it runs, and what is resident after its last run, of which mapped pages can be dropped and read again.  They are
of this computer's processor, whose kernels pack weights as large as ARM's do, give or take the padding. Results go to
benchmarks/results/android_memory.json, a row each.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.checkpoints.full_size_export import write_checkpoint
from benchmarks.paths import EMOJI, RESULTS, ROOT
from export.latency.measure import read_conditions

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
    return Row(name, precision, files, sizes, stages, asdict(read_conditions()) | {"threads": 1})


def run(way: str, bundle: Path, packed: Path, events: Path) -> list[Stage]:
    """What each stage held in one way."""
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
    """Put a row in the place of the earlier one, in the order of ROWS."""
    rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
    found = {f"{each['name']}:{each['precision']}": each for each in [*rows, asdict(row)]}
    RESULT.write_text(json.dumps([found[name] for name in ROWS if name in found], indent=1) + "\n")


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


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=ROWS, metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--work", type=Path, help="folder for checkpoints and bundles")
    parser.add_argument("--table", action="store_true", help="print what was measured, and measure nothing")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    unknown = sorted(set(given.rows) - set(ROWS))
    if unknown or (given.work is None and not given.table):
        parser.error(f"expected rows of {', '.join(ROWS)} and --work, got {', '.join(unknown) or 'no --work'}")
    for each in [] if given.table else given.rows:
        name, precision = each.split(":")
        given.work.mkdir(parents=True, exist_ok=True)
        LOGGER.info("%s in %s", name, precision)
        keep(measure(name, precision, export(name, precision, given.work), given.work))
    Console(width=150).print(table())


if __name__ == "__main__":
    main()
