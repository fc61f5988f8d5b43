"""The choices of a user who exports for iOS: compute units, oldest system, and how weights are stored.

This module only names and validates them.  lower.py (layout, target, pixel buffer), compress/ and chunks.py apply them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from export.mixed.names import CHECKPOINT, parse, setting_of
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

COMPUTE_UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")
"""Core ML's names of the compute units."""
DEPLOYMENT_TARGETS = ("iOS16", "iOS17", "iOS18")
NEURAL_ENGINE, GPU = "neural-engine", "gpu"
"""Layouts of the programs."""


@dataclass(frozen=True)
class CoreMLOptions:
    """Choices of one iOS export.

    >>> from export import CoreMLOptions
    >>> CoreMLOptions(compute_units="CPU_AND_NE", compression="palettize-6").layout
    'neural-engine'
    """

    compute_units: str = "CPU_AND_GPU"
    """Compute units that the app requests from Core ML: one of COMPUTE_UNITS.  They determine the programs' layout."""
    deployment_target: str = "iOS17"
    """The oldest system that can open the packages: one of DEPLOYMENT_TARGETS."""
    compression: str = "none"
    """How weights are stored: the name of a recipe or the path of a plan (compress/)."""
    chunk_mb: int = 0
    """Most megabytes of weights per chunk of `denoise`; 0 disables chunking."""
    pixel_buffer: bool = False
    """Whether `decode_image` returns an image that an app can show directly, instead of a tensor."""
    mixed_precision: str = CHECKPOINT
    """Modules that stay in float32: names as in export/mixed/names.py, or "auto", "none" or "checkpoint".  An export
    replaces these three by names before it lowers (export/job/mixed.py)."""
    precision = "fp16"
    calibrated = False

    def __post_init__(self) -> None:
        for name, choices in (("compute_units", COMPUTE_UNITS), ("deployment_target", DEPLOYMENT_TARGETS)):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {quoted(getattr(self, name))}")
        if self.chunk_mb < 0:
            raise ConfigError(f"chunk_mb: expected a number of megabytes, or 0, got {self.chunk_mb}")
        parse(self.mixed_precision)

    @property
    def compression_name(self) -> str:
        """The name of the recipe or plan; raises `ConfigError` as `export.compression.name_of` does."""
        from export.compression import name_of

        return name_of(self.compression)

    def settings(self) -> Mapping[str, str]:
        """Return the choices that an app must know, for the manifest."""
        return {
            "compute_units": self.compute_units,
            "deployment_target": self.deployment_target,
            "pixel_buffer": str(self.pixel_buffer).lower(),
            **setting_of(self.mixed_precision),
        }

    @property
    def layout(self) -> str:
        """The layout for the compute units."""
        return NEURAL_ENGINE if self.compute_units == "CPU_AND_NE" else GPU
