"""How far parity figures move when the same bundle is measured again in other surroundings.

    mobile-diffusion export ios assets/emoji --out build/ios
    python -m benchmarks.machine.repeated_parity --bundle build/ios --bundle build/android

Threads and torch's instruction set change the order in which sums are made, as another processor does.  Each ratio of
parity.json is compared with the one measured again; ratios above `CEILING_DB` (export/evidence/figures.py) count as
equal to it.  ONNX Runtime and XNNPACK choose their kernels themselves, so for them only the threads change.  Results go
to benchmarks/results/repeated_parity.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import RESULTS
from export.bundle.bundle import open_bundle
from export.evidence.figures import CEILING_DB, read_parity
from export.parity.gates import primary_metric
from export.verify import depth_of, read_trajectories

RESULT = RESULTS / "repeated_parity.json"
SURROUNDINGS = {
    "1 thread": (1, {}),
    "2 threads": (2, {}),
    "1 thread, no vector instructions in torch": (1, {"ATEN_CPU_CAPABILITY": "default"}),
}
MEASURE = """
import json, sys
from export.parity.compare import compare_runners
from export.parity.gates import primary_metric
from export.targets import open_runner
from export.verify import depth_of, open_bundle, read_trajectories
bundle = open_bundle(sys.argv[1])
golden = read_trajectories(bundle)
runners = [open_runner(bundle, each.name, int(sys.argv[2])) for each in bundle.manifest.runtimes if each.verified]
report, _ = compare_runners(runners, golden, bundle.settings(), bundle.step_table(), depth_of(bundle, golden))
print(json.dumps([getattr(each.metrics, primary_metric(each)) for each in report.measurements]))
"""


@dataclass(frozen=True)
class Row:
    """The largest movement of one check of one runtime."""

    bundle: str
    surroundings: str
    runtime: str
    check: str
    measurements: int
    moved_db: float
    """Largest difference of ratios below the ceiling."""
    moved_above_db: float
    """Largest difference of all ratios."""


def main(bundle: Annotated[list[Path], typer.Option(help="Exported bundle. May be repeated.")]) -> None:
    """Measure every bundle in every surrounding and write the rows."""
    rows = [row for path in bundle for name in SURROUNDINGS for row in measure(path, name)]
    for row in rows:
        typer.echo(f"{row.bundle} {row.surroundings}: {row.runtime} {row.check} {row.moved_db:.3f} dB")
    write_result(
        RESULT, {"conditions": conditions(None), "ceiling_db": CEILING_DB, "rows": [asdict(row) for row in rows]}
    )


def measure(path: Path, name: str) -> list[Row]:
    """Measure one bundle again in a process of its own."""
    opened = open_bundle(path)
    golden = read_trajectories(opened)
    recorded = read_parity(opened, golden, depth_of(opened, golden)).measurements
    threads, environment = SURROUNDINGS[name]
    command = [sys.executable, "-c", MEASURE, str(path), str(threads)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    now = json.loads(done.stdout.splitlines()[-1])
    moved: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for each, after in zip(recorded, now, strict=True):
        before = getattr(each.metrics, primary_metric(each))
        below = abs(min(before, CEILING_DB) - min(after, CEILING_DB))
        everywhere = 0.0 if before == after else abs(before - after)
        moved.setdefault((each.runtime, each.check), []).append((below, everywhere))
    return [
        Row(path.name, name, runtime, check, len(pairs), max(low for low, _ in pairs), max(high for _, high in pairs))
        for (runtime, check), pairs in moved.items()
    ]


if __name__ == "__main__":
    run_script(main, __doc__)
