"""The actions of architecture evolving: remove a block of a level, or repeat one (SnapFusion, section 3)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mobile_diffusion.config import UNetConfig, UNetLevel
from mobile_diffusion.slimming.blocks import RESNET, TRANSFORMER, BlockShape, block_shapes

MOST_REPEATS = 2
"""A level may get at most this many times the blocks that it has in the full network."""


@dataclass(frozen=True)
class Action:
    """Remove or add one block of a kind at a place."""

    kind: str
    """RESNET or TRANSFORMER."""
    place: str
    """ "down.0", "up.2" or "mid"; for ResNet blocks "level.1", which is a level on the way down together with its twin
    on the way up, because every ResNet block of the first passes a feature map to one of the second."""
    change: int
    """-1 or 1."""

    def __str__(self) -> str:
        return f"{'remove' if self.change < 0 else 'add'} {self.kind} {self.place}"


def removals(config: UNetConfig) -> list[Action]:
    """Every block that can be removed: any transformer, and ResNet blocks where one remains."""
    levels = _levels(config)
    found = [Action(TRANSFORMER, place, -1) for place, level in levels.items() if level.transformers > 0]
    found += [Action(RESNET, f"level.{n}", -1) for n, level in enumerate(config.down) if level.resnets > 1]
    if config.mid is not None and config.mid.resnets > 1:
        found.append(Action(RESNET, "mid", -1))
    return found


def additions(config: UNetConfig, full: UNetConfig) -> list[Action]:
    """Every block that can be repeated, up to MOST_REPEATS times the full network's number.

    On the way up the first and the last ResNet block have inputs that no other has; only a block between them can be
    repeated.
    """
    limits, counts = _counts(full), _counts(config)
    single = {f"level.{index}" for index, level in enumerate(reversed(full.up)) if level.resnets < 3}
    return [
        Action(kind, place, 1)
        for (kind, place), limit in limits.items()
        if counts.get((kind, place), 0) < MOST_REPEATS * limit and not (kind == RESNET and place in single)
    ]


def apply(config: UNetConfig, action: Action) -> UNetConfig:
    """The configuration after an action of `removals` or `additions`."""
    where, _, number = action.place.partition(".")
    field = f"{action.kind}s"

    def changed(level: UNetLevel) -> UNetLevel:
        return dataclasses.replace(level, **{field: getattr(level, field) + action.change})

    def replaced(levels: tuple[UNetLevel, ...], index: int) -> tuple[UNetLevel, ...]:
        return tuple(changed(level) if n == index else level for n, level in enumerate(levels))

    if where == "mid":
        assert config.mid is not None
        return dataclasses.replace(config, mid=changed(config.mid))
    index = int(number)
    if where == "level":
        twin = len(config.up) - 1 - index
        return dataclasses.replace(config, down=replaced(config.down, index), up=replaced(config.up, twin))
    if where == "down":
        return dataclasses.replace(config, down=replaced(config.down, index))
    return dataclasses.replace(config, up=replaced(config.up, index))


def reachable_shapes(full: UNetConfig, height: int, width: int) -> set[BlockShape]:
    """Every shape of block that actions can lead to; a latency table needs the time of each.

    The shapes of a level do not depend on the other levels' counts, so one more block of each kind and the smallest
    network cover them all.
    """
    least = full
    while ways := removals(least):
        least = apply(least, ways[0])
    configs = [full, least, *(apply(full, action) for action in additions(full, full))]
    return {shape for config in configs for shape in block_shapes(config, height, width)}


def _levels(config: UNetConfig) -> dict[str, UNetLevel]:
    levels = {f"down.{index}": level for index, level in enumerate(config.down)}
    if config.mid is not None:
        levels["mid"] = config.mid
    return levels | {f"up.{index}": level for index, level in enumerate(config.up)}


def _counts(config: UNetConfig) -> dict[tuple[str, str], int]:
    """Blocks by kind and place."""
    counts = {(TRANSFORMER, place): level.transformers for place, level in _levels(config).items()}
    counts |= {(RESNET, f"level.{index}"): level.resnets for index, level in enumerate(config.down)}
    if config.mid is not None:
        counts[RESNET, "mid"] = config.mid.resnets
    return counts
