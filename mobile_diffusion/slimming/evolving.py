"""A whole evolution: from a robustly trained checkpoint and a latency table to a slim one, every decision logged."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mobile_diffusion.checkpoint import save_checkpoint
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.slim import slim_unet
from mobile_diffusion.slimming.closeness import guided_closeness
from mobile_diffusion.slimming.drawing import draw_evolution
from mobile_diffusion.slimming.evolution import Decision, evolve
from mobile_diffusion.slimming.latency import LatencyTable
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.training.batches import Memory
from mobile_diffusion.training.checkpoints import open_placed, training_inputs
from mobile_diffusion.training.settings import UNetSettings

LOG, PLOT = "evolution.json", "evolution.png"


def evolve_checkpoint(
    settings: UNetSettings,
    table: LatencyTable,
    target_ms: float,
    batches: int,
    data: Path,
    model: Path,
    run: Path,
    out: Path,
) -> list[Decision]:
    """Write a slim checkpoint to `out`, and the log and the plot of the decisions into `run`.

    Quality is `guided_closeness` over `batches` batches of `settings`.  Raises ConfigError when the table is of another
    architecture or the target cannot be reached.
    """
    opened = open_placed(model)
    if table.unet != opened.config.unet:
        raise ConfigError(f"latency table: expected the U-Net of {model}, got another; measure this checkpoint")
    inputs, weights = training_inputs(opened, settings, settings.family_power, data, run)
    quality = guided_closeness(opened, settings, Memory(inputs, weights), batches)
    before = quality(opened.config.unet)
    decisions = evolve(opened.config.unet, table, quality, target_ms)
    unet, _ = slim_unet(opened.unet, decisions[-1].unet if decisions else opened.config.unet)
    config = dataclasses.replace(opened.config, name=f"{opened.config.name}-slim", unet=unet.config)
    save_checkpoint(dataclasses.replace(opened, config=config, unet=unet), out, overwrite=out.exists())
    _record(decisions, before, table, run)
    return decisions


def _record(decisions: Sequence[Decision], before: float, table: LatencyTable, run: Path) -> None:
    """Every decision as JSON, and the picture of them."""
    values = {
        "table": {"runtime": table.runtime, "processor": table.processor, "threads": table.threads},
        "start": {"quality": before, "step_ms": table.step_ms(table.unet)},
        "decisions": [asdict(decision) | {"action": str(decision.action)} for decision in decisions],
    }
    write_bytes((json.dumps(values, indent=1) + "\n").encode(), run / LOG)
    draw_evolution(decisions, before, table, run / PLOT)
