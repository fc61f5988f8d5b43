"""preview.json: the map from latents to colours is fitted again, to pictures that a program of the bundle draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.bundle.bundle import Bundle
from export.evidence.difference import Difference
from export.evidence.plan import plan_of
from export.job.preview import PREVIEW_FILE, Preview, fit_preview, read_preview
from export.job.run import preview_of
from export.parity.trajectories import Trajectory
from export.runners import Runner

CHECK = "preview"
LEVELS = 2
"""Levels of 8 bits by which the colours of the two maps may differ; one comes from rounding."""


def check_preview(bundle: Bundle, runner: Runner | None, trajectories: Sequence[Trajectory]) -> list[Difference]:
    """One difference if the map in the bundle colours the golden latents in another way than a map that is fitted now.

    An export of a large model fits to the golden cases alone, and every other one also draws coloured cases
    (job/run.py); `runner` draws these, and with None only the first kind can be recognised.
    """
    kept = read_preview(bundle.path)
    channels = bundle.settings().latent_shape[1]
    if np.shape(kept.weights) != (3, channels):
        return [Difference(CHECK, f"{PREVIEW_FILE}: weights", str((3, channels)), str(np.shape(kept.weights)))]
    distance = _distance(kept, fit_preview(trajectories, channels), trajectories, channels)
    if distance > LEVELS and runner is not None:
        plan = plan_of(bundle, "trajectory", 1)
        again = preview_of(runner, bundle.tokenizer(), bundle.settings(), trajectories, plan)
        distance = _distance(kept, again, trajectories, channels)
    if distance <= LEVELS:
        return []
    expected = f"colours within {LEVELS} levels of a map that is fitted now"
    return [Difference(CHECK, PREVIEW_FILE, expected, f"{distance} levels")]


def _distance(kept: Preview, again: Preview, trajectories: Sequence[Trajectory], channels: int) -> int:
    """Largest difference in levels over the last latents of all golden cases."""
    latents = [trajectory.states[-1][:channels] for trajectory in trajectories]
    pairs = ((kept(each).astype(int), again(each).astype(int)) for each in latents)
    return max(int(np.abs(one - other).max()) for one, other in pairs)
