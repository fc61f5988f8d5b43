"""Evolve a slim U-Net from a robustly trained one (SnapFusion, section 3): remove the blocks that are worth least.

    value of a block = (quality lost without it) / (milliseconds saved without it)

Quality is how close the guided output stays to the full network's (slimming/closeness.py), milliseconds come from a
measured table (slimming/latency.py), and the search is slimming/evolution.py.  Nothing is trained here; `train robust`
with `skip = 0.0` recovers the quality afterwards.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from mobile_diffusion.checkpoint import Model, save_checkpoint
from mobile_diffusion.distillation.grid import Levels
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.recipes.unet import UNetSettings
from mobile_diffusion.schedule import add_noise
from mobile_diffusion.schedule.levels import levels_at
from mobile_diffusion.schedule.spacing import timesteps
from mobile_diffusion.slim import slim_unet
from mobile_diffusion.slimming.closeness import Example, guided_closeness
from mobile_diffusion.slimming.evolution import Decision, evolve
from mobile_diffusion.slimming.evolution_plot import draw_evolution
from mobile_diffusion.slimming.latency import LatencyTable
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.training.batches import Memory, SampleSource, choose_captions
from mobile_diffusion.training.checkpoints import ENCODED, open_placed, training_inputs
from mobile_diffusion.training.loop import step_generator
from mobile_diffusion.training.workers import WHOLE

LOG, PLOT = "evolution.json", "evolution.png"


def example_of(model: Model, settings: UNetSettings, source: SampleSource, number: int) -> Example:
    """A batch of captioned pictures with the noise of the sampler's steps; every step occurs equally often."""
    count, schedule, generator = settings.loop.batch, model.config.schedule, step_generator(settings.loop.seed, number)
    device = next(model.unet.parameters()).device
    inputs, chosen = source.pick(number, count, generator, WHOLE)
    steps = timesteps(schedule)
    index = torch.arange(count) % len(steps)
    levels = Levels.of(levels_at(schedule, steps)).at(index).to(device)
    clean = inputs.latents[chosen].to(device)
    noise = torch.randn(clean.shape, generator=generator).to(device)
    context = inputs.contexts[choose_captions(inputs, chosen, settings.label_share, 0.0, generator)].float()
    guided = schedule.applied_guidance == "cfg"
    return Example(
        add_noise(clean, noise, levels.alpha, levels.sigma).contiguous(memory_format=torch.channels_last),
        torch.tensor(steps)[index].to(device),
        context.to(device),
        source.null.float().to(device),
        torch.full((count,), schedule.guidance, device=device) if guided else None,
    )


def evolve_checkpoint(
    settings: UNetSettings,
    table: LatencyTable,
    target_ms: float,
    batches: int,
    data: Path,
    model: Path,
    run: Path,
    out: Path,
    progress: Progress = silent,
) -> list[Decision]:
    """Write a slim checkpoint to `out`, and the log and plot of the decisions into `run`.

    Every candidate is judged on the same `batches` batches of `settings`.  Raises ConfigError when the table is of
    another architecture or the target cannot be reached.
    """
    opened = open_placed(model)
    if table.unet != opened.config.unet:
        raise ConfigError(f"latency table: expected the U-Net of {model}, got another; measure this checkpoint")
    encoding = part_of(progress, 0.0, ENCODED)
    source = Memory(*training_inputs(opened, settings, settings.family_power, data, run, encoding))
    progress("comparing candidates", ENCODED)
    opened.unet.eval()
    quality = guided_closeness(opened.unet, [example_of(opened, settings, source, number) for number in range(batches)])
    before = quality(opened.config.unet)
    decisions = evolve(opened.config.unet, table, quality, target_ms)
    unet, _ = slim_unet(opened.unet, decisions[-1].unet if decisions else opened.config.unet)
    config = dataclasses.replace(opened.config, name=f"{opened.config.name}-slim", unet=unet.config)
    save_checkpoint(dataclasses.replace(opened, config=config, unet=unet), out, overwrite=out.exists())
    _record(decisions, before, table, run)
    return decisions


def _record(decisions: Sequence[Decision], before: float, table: LatencyTable, run: Path) -> None:
    """Write every decision as JSON, and the plot."""
    values = {
        "table": {"runtime": table.runtime, "processor": table.processor, "threads": table.threads},
        "start": {"quality": before, "step_ms": table.step_ms(table.unet)},
        "decisions": [asdict(decision) | {"action": str(decision.action)} for decision in decisions],
    }
    write_bytes((json.dumps(values, indent=1) + "\n").encode(), run / LOG)
    draw_evolution(decisions, before, table, run / PLOT)
