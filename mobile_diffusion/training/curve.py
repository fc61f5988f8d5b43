"""The loss curve of a run as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from mobile_diffusion.errors import TrainingError
from mobile_diffusion.training.loop import CURVE

SMOOTHING = 0.9


def read_curve(run: Path) -> list[dict[str, float]]:
    """The rows of a run's curve: step, loss, samples_per_second; raises `TrainingError` when there are none."""
    try:
        rows = [json.loads(line) for line in (run / CURVE).read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise TrainingError(f"{run}: expected a run with a {CURVE}, got {error}; train first") from None
    if not rows:
        raise TrainingError(f"{run / CURVE}: expected rows, got an empty file; train for some steps first")
    return rows


def smooth(values: list[float], decay: float = SMOOTHING) -> list[float]:
    """Exponential moving average, begun at the first value."""
    smoothed = values[:1]
    for value in values[1:]:
        smoothed.append(decay * smoothed[-1] + (1 - decay) * value)
    return smoothed


def plot_curve(run: Path, out: Path) -> None:
    """Draw loss against step, raw and smoothed, into a PNG."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TrainingError("expected matplotlib, got none; install mobile-diffusion[train]") from None
    rows = read_curve(run)
    steps, losses = [row["step"] for row in rows], [row["loss"] for row in rows]
    figure = Figure(figsize=(7, 3.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, losses, color="0.8", label="loss")
    axes.plot(steps, smooth(losses), color="C0", label=f"smoothed ({SMOOTHING})")
    axes.set(xlabel="step", ylabel="training loss", yscale="log", title=run.name)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(out)
