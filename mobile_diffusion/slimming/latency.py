"""The latency table: times of a U-Net's blocks, from which the time of a slimmer U-Net is estimated.

`mobile-diffusion export blocks` measures a table, of one architecture on one machine.  Times measured on a phone can
be written in the same format.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mobile_diffusion.config import UNetConfig
from mobile_diffusion.config_json import from_dict
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.slimming.blocks import BlockShape, block_shapes
from mobile_diffusion.strict_json import parse_json


@dataclass(frozen=True)
class BlockLatency:
    """The time of one shape of block."""

    block: BlockShape
    median_ms: float


@dataclass(frozen=True)
class LatencyTable:
    """The times of a U-Net's blocks and of the whole U-Net."""

    runtime: str
    """Name and version of the runtime that ran the blocks."""
    processor: str
    threads: int
    height: int
    """Of the latents, as `width` is."""
    width: int
    unet: UNetConfig
    """The architecture that was measured."""
    total_ms: float
    """One evaluation of the whole U-Net."""
    blocks: tuple[BlockLatency, ...]

    def __post_init__(self) -> None:
        times = [self.total_ms, *(entry.median_ms for entry in self.blocks)]
        if not all(0 < time < math.inf for time in times):
            raise ConfigError(f"latency table: expected positive times, got {min(times)} ms; measure it again")
        missing = sorted(set(block_shapes(self.unet, self.height, self.width)) - set(self.times))
        if missing:
            raise ConfigError(f"latency table: expected the time of {missing[0]}, got none; measure it again")

    @property
    def times(self) -> dict[BlockShape, float]:
        """Milliseconds by block."""
        return {entry.block: entry.median_ms for entry in self.blocks}

    def step_ms(self, config: UNetConfig) -> float:
        """Estimated milliseconds of one evaluation: the measured whole, without and with the blocks that differ.

        Raises ConfigError for an architecture with a block that the table does not have.
        """
        return self.total_ms + self._sum(config) - self._sum(self.unet)

    def _sum(self, config: UNetConfig) -> float:
        times = self.times
        shapes = block_shapes(config, self.height, self.width)
        unknown = sorted(set(shapes) - set(times))
        if unknown:
            raise ConfigError(
                f"latency table: expected a table of this architecture, got none for {unknown[0]}; measure "
                "this checkpoint with `mobile-diffusion export blocks`"
            )
        return sum(times[shape] * count for shape, count in shapes.items())


def read_table(path: Path) -> LatencyTable:
    """The table in a JSON file; raises ConfigError for a file that is not a latency table."""
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected a latency table, got {type(error).__name__}: {error}") from None
    try:
        return from_dict(LatencyTable, values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
