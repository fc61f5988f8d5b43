"""Exports checkpoints of real size with the real commands, and records time, peak memory, sizes and parity.

    python -m benchmarks.checkpoints.full_size_export --work /tmp/full-size            # all of ROWS, about an hour
    python -m benchmarks.checkpoints.full_size_export --work /tmp/full-size sd15:ios   # one row

Weights are random, in float16, in a diffusers folder as published (SnapFusion's table is slimmed from Stable
Diffusion 1.5 by `mobile-diffusion slim`).  Results go to benchmarks/results/full_size.json, a row each; a bundle is
deleted when it has been measured.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring.command_line import Names, Work, chosen, run_script
from benchmarks.measuring.peak_memory import measure_command
from benchmarks.measuring.results import read_result, write_result
from benchmarks.paths import RESULTS, ROOT
from export.latency.measure import read_conditions

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "full_size.json"
ROWS = [f"{name}:{target}" for name in ("sd15", "snapfusion", "bk-sdm-tiny") for target in ("ios", "android")]
GIGA = 1e9


@dataclass(frozen=True)
class Row:
    """One export."""

    checkpoint: str
    target: str
    size: str
    """Pixels of the picture."""
    seconds: float
    peak_gb: float
    """Resident memory of all its processes together, mapped files included."""
    private_gb: float
    """The same without pages that are only mapped from files."""
    bundle_gb: float
    stages_gb: dict[str, float]
    """Size of every program."""
    parity_db: dict[str, float]
    """Worst SNR of every check of every runtime."""
    latency_ms: dict[str, float]
    """Median of every stage of every runner on this computer."""
    processor: str
    cores: int


def write_checkpoint(name: str, work: Path) -> Path:
    """The checkpoint of a row, written once."""
    folder = work / name
    if folder.exists():
        return folder
    if name == "snapfusion":
        full = write_checkpoint("sd15", work)
        _run("-m", "export.cli.main", "slim", str(full), "--preset", "snapfusion", "--out", str(folder))
    else:
        _run("-m", "benchmarks.checkpoints.random_weights", name, str(folder), "--half")
    return folder


def _run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, cwd=ROOT)


def export(name: str, target: str, work: Path, options: list[str]) -> Row:
    """Run the command and read its results."""
    checkpoint, out = write_checkpoint(name, work), work / f"{name}-{target}"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "export", target, str(checkpoint), "--out", str(out), *options]
    measured = measure_command(command, cwd=ROOT)
    if measured.result != 0:
        raise SystemExit(f"{name} {target}: the export ended with status {measured.result}")
    row = _read(name, target, out, measured.seconds, measured.peak_bytes, measured.private_bytes)
    shutil.rmtree(out)
    return row


def _read(name: str, target: str, out: Path, seconds: float, peak: int, private: int) -> Row:
    manifest = json.loads((out / "manifest.json").read_text())
    latency = json.loads((out / "latency.json").read_text())
    sizes = {
        f"{runtime['name']} {program['stage']}": _size(manifest, program["path"]) / GIGA
        for runtime in manifest["runtimes"]
        for program in runtime["artifacts"]
    }
    stages = [(each["runner"], stage) for each in latency["runners"] for stage in each["stages"]]
    times = {f"{runner} {stage['stage']}": stage["median_ms"] for runner, stage in stages}
    conditions = read_conditions()
    return Row(
        name,
        target,
        f"{manifest['model']['width']}x{manifest['model']['height']}",
        round(seconds, 1),
        round(peak / GIGA, 2),
        round(private / GIGA, 2),
        round(sum(file["size"] for file in manifest["files"]) / GIGA, 3),
        {key: round(value, 3) for key, value in sizes.items()},
        {f"{row['runtime']} {row['check']}": round(row["worst"], 1) for row in manifest["parity"]},
        {key: round(value, 1) for key, value in times.items()},
        conditions.processor,
        conditions.cores,
    )


def _size(manifest: dict, path: str) -> int:  # type: ignore[type-arg]
    """Bytes of a program: of its file and what lies beside it under its name, or of all files of its folder."""
    beside = (f"{path}/", f"{path}.")
    sizes = {file["path"]: file["size"] for file in manifest["files"]}
    return sum(size for name, size in sizes.items() if name == path or name.startswith(beside))


def keep(row: Row) -> None:
    """Replace the earlier row, in the order of ROWS."""
    rows = read_result(RESULT, [])
    found = {f"{each['checkpoint']}:{each['target']}": each for each in [*rows, asdict(row)]}
    write_result(RESULT, [found[name] for name in ROWS if name in found])


def main(
    work: Work,
    rows: Names = None,
    option: Annotated[list[str] | None, typer.Option(help="Passed on to the export; may be repeated.")] = None,
) -> None:
    """Export each row, and write after each."""
    work.mkdir(parents=True, exist_ok=True)
    for each in chosen(rows, ROWS, "row"):
        name, target = each.split(":")
        row = export(name, target, work, option or [])
        keep(row)
        LOGGER.info("%s", json.dumps(asdict(row)))


if __name__ == "__main__":
    run_script(main, __doc__)
