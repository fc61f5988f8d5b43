"""The charts of report.html: error along the steps, layers, weights, times and the schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from export.bundle.manifest_parts import ScheduleEntry
from export.job.layers import Layers
from export.job.plan import ExportPlan
from export.latency.measure import LatencyReport
from export.parity.measure import Measurement
from export.parity.report import ParityReport
from export.report.charts import HALF_MAX, Line, Span, lines, ranges, ratios, spans
from export.signatures import STAGES
from export.targets import RUNTIMES
from mobile_diffusion.decibels import worst

SHOWN_DB = 160.0
"""Ratios above it are drawn there: they are float32's own rounding."""
WAYS = {
    "denoise": "one step from PyTorch's state",
    "prediction": "the network's output in it",
    "free_running": "running free",
}
"""Check -> its line in the chart of a runtime."""
WIDEST = 14
"""Most bars of the chart of weights."""


def words(stage: str) -> str:
    """The name of a stage or check for people."""
    return stage.replace("_", " ")


def along_the_steps(plan: ExportPlan, parity: ParityReport) -> Iterator[tuple[str, str]]:
    """Title and chart of every runtime: the worst ratio over all cases at each step."""
    for runtime in plan.compared:
        found = [
            _worst_by_step(
                [each for each in parity.measurements if (each.runtime, each.check) == (runtime.name, check)]
            )
            for check in WAYS
        ]
        drawn = tuple(
            Line(WAYS[check], tuple(by), tuple(by.values())) for check, by in zip(WAYS, found, strict=True) if by
        )
        limit = next(
            (row.limit for row in parity.rows() if (row.runtime, row.check) == (runtime.name, "denoise")), None
        )
        if any(len(line.xs) > 1 for line in drawn):
            level = None if limit is None else (f"limit of one step, {limit:g} dB", limit)
            title = f"{runtime.title}: signal-to-noise ratio by step"
            yield runtime.title, lines(title, drawn, "step", "dB", level)


def _worst_by_step(found: Sequence[Measurement]) -> dict[int, float]:
    """Step, counted from 1 -> worst ratio; a step without one has 0 dB."""
    steps = sorted({each.step for each in found if each.step is not None})
    ratio: dict[int, float] = {}
    for step in steps:
        low = worst(getattr(each.metrics, "snr_db", math.nan) for each in found if each.step == step)
        ratio[step + 1] = 0.0 if math.isnan(low) else max(0.0, min(low, SHOWN_DB))
    return ratio


def layer_charts(layers: Layers) -> Iterator[dict[str, Any]]:
    """Per stage: the largest numbers, what float16 alone does, and the layers that a reader should look at."""
    for stage in STAGES:
        found = layers.of(stage)
        if not found:
            continue
        widest = sorted(found, key=lambda each: -(math.inf if each.largest is None else each.largest))[:5]
        worse = sorted(found, key=lambda each: -1.0 if each.half_db is None else each.half_db)[:5]
        yield {
            "stage": words(stage),
            "count": len(found),
            "beyond": sum(each.largest is None or each.largest > HALF_MAX for each in found),
            "ranges": ranges(
                f"{words(stage)}: largest magnitude of every layer", tuple(each.largest for each in found)
            ),
            "ratios": ratios(f"{words(stage)}: every layer in float16", tuple(each.half_db for each in found)),
            "widest": widest,
            "worse": worse,
        }


def weight_chart(layers: Layers) -> str:
    """Millions of weights in the parts of every network, the largest parts first within their stage."""
    rows = []
    for stage, found in groupby(layers.layers, key=lambda each: each.stage):
        parts: dict[str, int] = {}
        for layer in found:
            part = ".".join(layer.module.split(".")[:3])
            parts[part] = parts.get(part, 0) + layer.weights
        rows += [(stage, part, count) for part, count in parts.items() if count]
    largest = sorted(rows, key=lambda row: -row[2])[:WIDEST]
    shown = [row for row in rows if row in largest]
    bars = tuple(Span(_short(part), stage, *[count / 1e6] * 3) for stage, part, count in shown)
    return spans("Weights by part of the networks", bars, "millions of weights")


def _short(part: str) -> str:
    """The end of a module's path: a bar's label must fit beside it on a phone."""
    return part if len(part) <= 24 else f"…{part[-23:]}"


def latency_charts(latency: LatencyReport) -> Iterator[tuple[str, str]]:
    """Stage and chart: the median of every runner, with its quartiles."""
    for stage in STAGES:
        bars = []
        for runner in latency.runners:
            times = next((each for each in runner.stages if each.stage == stage), None)
            if times is not None:
                label = RUNTIMES[runner.runner].title if runner.runner in RUNTIMES else runner.runner
                quartiles = (times.first_quartile_ms, times.median_ms, times.third_quartile_ms)
                bars.append(Span(label, runner.runner, *quartiles))
        yield words(stage), spans(f"{words(stage)}: median time and quartiles", tuple(bars), "ms")


def schedule_charts(schedule: ScheduleEntry, rows: Sequence[int]) -> Iterator[tuple[str, str]]:
    """The timesteps, and how much of the picture and of the noise the latents hold, in the rows of a whole drawing."""
    steps = tuple(range(1, len(rows) + 1))
    times, alphas, sigmas = (
        tuple(column[row] for row in rows) for column in (schedule.timesteps, schedule.alphas, schedule.sigmas)
    )
    yield "Timesteps", lines("Timestep of every step", (Line("timestep", steps, times),), "step", "timestep")
    parts = (Line("picture (alpha)", steps, alphas), Line("noise (sigma)", steps, sigmas))
    yield "Picture and noise", lines("Alpha and sigma in front of every step", parts, "step", "factor")


def sizes(files: Mapping[str, int]) -> str:
    """Bytes of every program in megabytes; `files` maps "runtime, stage" to bytes."""
    bars = tuple(Span(name, name.partition(",")[0], *[size / 1e6] * 3) for name, size in files.items())
    return spans("Size of every program", bars, "MB")
