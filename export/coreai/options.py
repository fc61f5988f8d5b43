"""The choices of a user who exports for Core AI.

This module only names and validates them.  lower.py and half.py apply them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    compression_name = "none"
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

    def settings(self) -> Mapping[str, str]:
        """Return the choices that an app must know, for the manifest."""
        return {"deployment_target": OLDEST_SYSTEM, "preferred_compute_unit": self.compute_unit}
