"""How a drawing calls a stage: by name, with arrays in and arrays out, whatever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

Arrays = Mapping[str, np.ndarray]
"""Inputs or outputs of a stage by name."""


class RunStage(Protocol):
    """Runs one stage: input arrays by name -> output arrays by name, both as the stage's signature says."""

    def __call__(self, stage: str, /, **arrays: np.ndarray) -> Arrays: ...
