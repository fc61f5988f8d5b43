"""The choices of a user who exports for Core AI.

This module only names and validates them.  lower.py and graph.py apply them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from export.mixed.names import CHECKPOINT, parse, setting_of
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

PRECISIONS = ("fp16", "fp32")
COMPUTE_UNITS = ("cpu", "gpu", "neural_engine")
"""Core AI's names of the compute units."""
OLDEST_SYSTEM = "iOS27"
"""The first system that opens an `.aimodel`."""


@dataclass(frozen=True)
class CoreAIOptions:
    """Choices of one export for Core AI.

    >>> from export import CoreAIOptions
    >>> CoreAIOptions(precision="fp32").settings()
    {'deployment_target': 'iOS27', 'preferred_compute_unit': 'gpu'}
    """

    precision: str = "fp16"
    """Arithmetic of the networks, one of PRECISIONS; guidance and the solver's update are float32 in each."""
    compute_unit: str = "gpu"
    """The unit that an app prefers in `SpecializationOptions`, one of COMPUTE_UNITS."""
    mixed_precision: str = CHECKPOINT
    """With fp16, the modules that stay in float32: names as in export/mixed/names.py, "auto", "none" or "checkpoint",
    of which an export makes names before it lowers (export/job/mixed.py)."""
    compression: str = "none"
    """How weights are stored: the name of a recipe or the path of a plan (export/compression)."""
    calibrated = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"precision: expected one of {', '.join(PRECISIONS)} for coreai, got {quoted(self.precision)}"
            )
        if self.compute_unit not in COMPUTE_UNITS:
            raise ConfigError(
                f"compute_unit: expected one of {', '.join(COMPUTE_UNITS)}, got {quoted(self.compute_unit)}"
            )
        parse(self.mixed_precision)
        if self.compression != "none" and self.precision != "fp16":
            raise ConfigError(f"compression: expected precision fp16 with it, got {self.precision}; leave one out")

    @property
    def compression_name(self) -> str:
        """The name of the recipe or plan; raises `ConfigError` as `export.compression.name_of` does."""
        from export.compression import name_of

        return name_of(self.compression)

    def settings(self) -> Mapping[str, str]:
        """Return the choices that an app must know, for the manifest."""
        system = {"deployment_target": OLDEST_SYSTEM, "preferred_compute_unit": self.compute_unit}
        return {**system, **setting_of(self.mixed_precision)}
