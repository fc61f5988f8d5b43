"""The golden files, with which every language is compared; assets/golden/README.md describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[2] / "assets" / "golden"
TOKENS = ("tokens-wordpiece.json", "tokens-clip.json", "tokens-added.json")
READING = ("inpaint", "inpaint-all", "edit", "edit-unguided")
TRAJECTORIES = (
    "ddim",
    "multistep",
    "interval",
    "unguided",
    "sde",
    "image",
    "tiles",
    "mask",
    *READING,
    "lcm",
    "sdxl",
    "sdxl-interval",
)

WEIGHTED = ("weights", "compel")
"""Trajectories whose prompts have weights and two windows."""
HINTS = ("hints", "hints-interval")
"""Trajectories with two ControlNets."""
ADAPTERS = ("adapters", "adapters-interval")
"""Trajectories with adapters, one of which was made for the bundle later; Swift refuses such a bundle."""


def golden(name: str) -> Any:
    """The JSON of a golden file."""
    return json.loads((GOLDEN / name).read_text(encoding="ascii"))
