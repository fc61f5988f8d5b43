"""Adapters (LoRA) that a drawing turns on and off, as plain data.  adapted.py has the layers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class AdaptedLayer:
    """A layer with room for adapters."""

    name: str
    """Our name of the layer in the U-Net."""
    inputs: int
    """Width of what the factor "down" reads: the layer's channels in, times the size of a kernel."""
    outputs: int


@dataclass(frozen=True)
class AdapterConfig:
    """Room for n adapters in a U-Net."""

    names: tuple[str, ...]
    rank: int
    layers: tuple[AdaptedLayer, ...]

    @property
    def down_width(self) -> int:
        """Columns of the factors "down" of all layers."""
        return sum(layer.inputs for layer in self.layers)

    @property
    def width(self) -> int:
        """Columns of an adapter."""
        return self.down_width + sum(layer.outputs for layer in self.layers)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (n, r, P) of the factors of all adapters."""
        return (len(self.names), self.rank, self.width)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the rank and the layers: factors that were arranged for one room fit every room with the same."""
        layers = [dataclasses.astuple(layer) for layer in self.layers]
        return hashlib.sha256(json.dumps([self.rank, layers], separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Columns:
    """Where the factors of a layer are: `down` among those of all layers, `up` among the others."""

    down: int
    down_end: int
    up: int
    up_end: int


def columns_of(config: AdapterConfig) -> dict[str, Columns]:
    """The columns of each layer, by its name."""
    down = up = 0
    found = {}
    for layer in config.layers:
        found[layer.name] = Columns(down, down + layer.inputs, up, up + layer.outputs)
        down, up = down + layer.inputs, up + layer.outputs
    return found
