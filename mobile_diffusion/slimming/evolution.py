"""Architecture evolving (SnapFusion, section 3): remove the blocks that are worth least, repeat the one worth most.

The value of a block is the quality that the network loses without it, divided by the milliseconds that it takes.  The
network must have been trained robustly, so that it still draws without some of its blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mobile_diffusion.config import UNetConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.slimming.actions import Action, additions, apply, removals
from mobile_diffusion.slimming.latency import LatencyTable

Quality = Callable[[UNetConfig], float]
"""How well the network draws with only the blocks of a slimmer configuration; higher is better."""


@dataclass(frozen=True)
class BlockValue:
    """The value of one block."""

    action: Action
    """The removal of the block."""
    quality: float
    """Of the network without the block, as `step_ms` is."""
    step_ms: float
    value: float
    """Quality lost per millisecond saved."""


@dataclass(frozen=True)
class Decision:
    """One round of the search."""

    action: Action
    unet: UNetConfig
    """The configuration after it, as `quality` and `step_ms` are."""
    quality: float
    step_ms: float
    values: tuple[BlockValue, ...]
    """Of all removals that were compared, least valuable first."""


def evolve(full: UNetConfig, table: LatencyTable, quality: Quality, target_ms: float) -> list[Decision]:
    """The decisions from the full network to one that takes at most `target_ms` per step.

    Above the target, each round removes the block of least value.  Below it, the most valuable block that still fits
    is repeated once.  Raises ConfigError when the target cannot be reached, or a quality is not finite.
    """
    decisions: list[Decision] = []
    config, kept = full, _finite(quality(full))
    while table.step_ms(config) > target_ms:
        values = block_values(config, kept, table, quality)
        if not values:
            raise ConfigError(
                f"target: expected one that this network can reach, got {target_ms:g} ms; without every block that can "
                f"be removed it takes {table.step_ms(config):.1f} ms"
            )
        chosen = values[0]
        config, kept = apply(config, chosen.action), chosen.quality
        decisions.append(Decision(chosen.action, config, kept, chosen.step_ms, tuple(values)))
    extra = _repeated(full, config, table, target_ms, block_values(config, kept, table, quality))
    if extra is not None:
        repeated = apply(config, extra)
        decisions.append(Decision(extra, repeated, _finite(quality(repeated)), table.step_ms(repeated), ()))
    return decisions


def block_values(config: UNetConfig, kept: float, table: LatencyTable, quality: Quality) -> list[BlockValue]:
    """The value of every block that can be removed, least first; `kept` is the quality with all of them."""
    now, values = table.step_ms(config), []
    for action in removals(config):
        without = apply(config, action)
        left, step_ms = _finite(quality(without)), table.step_ms(without)
        values.append(BlockValue(action, left, step_ms, (kept - left) / (now - step_ms)))
    return sorted(values, key=lambda each: each.value)


def _repeated(
    full: UNetConfig, config: UNetConfig, table: LatencyTable, target_ms: float, values: list[BlockValue]
) -> Action | None:
    """The repetition of the most valuable block that fits, or None."""
    possible = {
        (action.kind, action.place): action
        for action in additions(config, full)
        if table.step_ms(apply(config, action)) <= target_ms
    }
    worth = (each.action for each in reversed(values) if each.value > 0)
    return next((possible[each.kind, each.place] for each in worth if (each.kind, each.place) in possible), None)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ConfigError(f"quality: expected a finite number, got {value}; train the network robustly first")
    return value
