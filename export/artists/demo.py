"""The demonstration: bundles for both phones from one checkpoint, and a sheet of prompts drawn by every runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.artists.artist import Artist, bundle_artist, model_artist
from export.job.plan import plan_export
from export.job.run import Exported, check_output, run_export
from export.latency.measure import LatencyReport
from export.parity.report import ParityReport
from export.parity.report import merge as merge_parity
from export.report.latency import merge as merge_latency
from export.report.pictures import grid, save_picture
from export.runtime import Runtime
from export.targets import RUNTIMES, TARGETS, check_requirement
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.drawing import draw
from mobile_diffusion.errors import ExportError
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.quoting import quoted

PROMPTS = (
    ("red apple, 3d", 3),
    ("pizza, 3d", 4),
    ("cat face, 3d", 5),
    ("red heart, 3d", 2),
    ("automobile, 3d", 3),
    ("rocket, 3d", 5),
    ("grinning face, 3d", 2),
    ("mushroom, 3d", 0),
)
"""Prompt and seed per column of the sheet."""
SHOWN: dict[str, tuple[str, ...]] = {"android": ("xnnpack", "onnx"), "ios": ("coreml", "coreai")}
"""Target -> the runtimes that it is exported for."""
_EXPORTED = 0.9
"""Share of the progress bar that exporting takes."""


@dataclass(frozen=True)
class Demo:
    """The results of the demonstration."""

    parity: ParityReport
    latency: LatencyReport
    steps: int
    sheet: Path
    left_out: tuple[str, ...]
    """A line per runtime that cannot be used on this computer."""


def run_demo(
    checkpoint: Path | str,
    build: Path,
    prompts: Sequence[tuple[str, int]] = PROMPTS,
    threads: int = 2,
    progress: Progress = silent,
) -> Demo:
    """Export every target into `build`, replacing the bundles there, and draw the sheet `demo.png`."""
    for name in SHOWN:
        check_output(build / name, Path(checkpoint), force=True)
    shown = [name for runtimes in SHOWN.values() for name in runtimes]
    lacking = {name: reason for name in shown if (reason := lacks(RUNTIMES[name]))}
    model = open_checkpoint(checkpoint)
    exported = []
    for number, (name, runtimes) in enumerate(SHOWN.items()):
        part = part_of(progress, number * _EXPORTED / len(SHOWN), _EXPORTED / len(SHOWN))
        usable = [runtime for runtime in runtimes if runtime not in lacking]
        plan = plan_export(model.config, TARGETS[name], usable, threads=threads)
        exported.append(run_export(model, TARGETS[name], build / name, force=True, plan=plan, progress=part))
    artists = [model_artist(model, threads), *_artists(exported, threads)]
    columns = []
    for number, (prompt, seed) in enumerate(prompts):
        progress(f"drawing {quoted(prompt)}", _EXPORTED + (1 - _EXPORTED) * number / len(prompts))
        columns.append(_draw_column(artists, prompt, seed))
    sheet = build / "demo.png"
    rows = list(zip([artist.title for artist in artists], zip(*columns, strict=True), strict=True))
    save_picture(grid([f"{prompt}\nseed {seed}" for prompt, seed in prompts], rows), sheet)
    progress(f"{sheet} written", 1.0)
    parity = merge_parity([each.parity for each in exported])
    latency = merge_latency([each.latency for each in exported])
    return Demo(parity, latency, model.config.schedule.steps, sheet, tuple(lacking.values()))


def lacks(runtime: Runtime) -> str:
    """Return in one line what this computer lacks for a runtime; "" if nothing."""
    try:
        check_requirement(runtime)
    except ExportError as error:
        return str(error)
    return ""


def _artists(exported: Sequence[Exported], threads: int) -> list[Artist]:
    """One artist per runtime of every bundle."""
    return [
        bundle_artist(each.bundle, runtime.name, threads)
        for each in exported
        for runtime in each.bundle.manifest.runtimes
        if runtime.verified
    ]


def _draw_column(artists: Sequence[Artist], prompt: str, seed: int) -> list[NDArray[np.uint8]]:
    return [draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, seed) for artist in artists]
