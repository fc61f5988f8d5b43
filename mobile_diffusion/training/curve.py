"""The loss curve of a run: `curve.jsonl`, a row per `log_every` steps, and its picture."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from mobile_diffusion.errors import TrainingError
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.strict_json import parse_json

LOGGER = logging.getLogger(__name__)
CURVE = "curve.jsonl"
SMOOTHING = 0.9


@dataclass(frozen=True)
class CurveRow:
    """The mean over the steps since the row before."""

    step: int
    loss: float
    samples_per_second: float


def append_row(row: CurveRow, run: Path) -> None:
    """Write a row at the end of a run's curve."""
    with (run / CURVE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def read_curve(run: Path) -> list[CurveRow]:
    """The rows of a run's curve without damaged lines; raises `TrainingError` when there are none."""
    try:
        content = (run / CURVE).read_bytes()
    except OSError as error:
        raise TrainingError(f"{run}: expected a run with a {CURVE}, got {error}; train first") from None
    rows = [row for row, _ in _parse(content, run / CURVE)]
    if not rows:
        raise TrainingError(f"{run / CURVE}: expected rows, got none; train for some steps first")
    return rows


def cut_curve(run: Path, step: int) -> None:
    """Drop the rows after `step`, which a killed run wrote after its last state, and damaged lines."""
    path = run / CURVE
    content = path.read_bytes() if path.exists() else b""
    write_bytes(b"".join(line for row, line in _parse(content, path) if row.step <= step), path)


def _parse(content: bytes, path: Path) -> list[tuple[CurveRow, bytes]]:
    """Rows and their lines; a line that is cut off, as by a kill, or damaged is left out with a warning."""
    found, damaged = [], 0
    for line in content.splitlines(keepends=True):
        row = _row_of(line) if line.endswith(b"\n") else None
        if row is None:
            damaged += 1
        else:
            found.append((row, line))
    if damaged:
        LOGGER.warning("%s: left out %d damaged line(s) of %d", path, damaged, damaged + len(found))
    return found


def _row_of(line: bytes) -> CurveRow | None:
    try:
        values = parse_json(line)
        return CurveRow(int(values["step"]), float(values["loss"]), float(values["samples_per_second"]))
    except (ValueError, LookupError, TypeError, OverflowError):
        return None


def smooth(values: list[float], decay: float = SMOOTHING) -> list[float]:
    """Exponential moving average that begins at the first value."""
    smoothed = values[:1]
    for value in values[1:]:
        smoothed.append(decay * smoothed[-1] + (1 - decay) * value)
    return smoothed


def plot_curve(run: Path, out: Path) -> None:
    """Plot loss against step, raw and smoothed, into a PNG; raises TrainingError without rows or matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TrainingError("expected matplotlib, got none; install mobile-diffusion[train]") from None
    rows = read_curve(run)
    steps, losses = [row.step for row in rows], [row.loss for row in rows]
    figure = Figure(figsize=(7, 3.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, losses, color="0.8", label="loss")
    axes.plot(steps, smooth(losses), color="C0", label=f"smoothed ({SMOOTHING})")
    axes.set(xlabel="step", ylabel="training loss", yscale="log", title=run.name)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(out)
