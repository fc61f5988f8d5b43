"""What a user of ExecuTorch's programs chooses: the precision of their arithmetic, by backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mobile_diffusion.errors import ConfigError

XNNPACK_PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic", "int4-dynamic")
VULKAN_PRECISIONS = ("fp32", "fp16")
QNN_PRECISIONS = ("fp16",)
QNN_SOC = "SM8650"
"""Snapdragon 8 of the third generation: what a program for the NPU is compiled for."""


def check_precision(backend: str, precision: str, choices: tuple[str, ...]) -> None:
    """Raise `ConfigError` with the choices unless `precision` is one of them."""
    if precision not in choices:
        raise ConfigError(f"precision: expected one of {', '.join(choices)} for {backend}, got {precision!r}")


@dataclass(frozen=True)
class XnnpackOptions:
    """Choices for XNNPACK, on the processor."""

    precision: str = "fp32"
    """One of XNNPACK_PRECISIONS; with fp16 weights are stored in half and computed with in float32 (half.py)."""

    def __post_init__(self) -> None:
        check_precision("xnnpack", self.precision, XNNPACK_PRECISIONS)

    @property
    def compression_name(self) -> str:
        """Weights are stored as they are computed with."""
        return "none"

    @property
    def calibrated(self) -> bool:
        """Whether lowering wants recorded inputs: scales of activations are found on them."""
        return self.precision == "int8"

    def settings(self) -> Mapping[str, str]:
        """Nothing that an app has to know."""
        return {}


@dataclass(frozen=True)
class VulkanOptions:
    """Choices for Vulkan, on the GPU."""

    precision: str = "fp32"
    """One of VULKAN_PRECISIONS."""
    compression_name = "none"
    calibrated = False

    def __post_init__(self) -> None:
        check_precision("vulkan", self.precision, VULKAN_PRECISIONS)

    def settings(self) -> Mapping[str, str]:
        """Nothing that an app has to know."""
        return {}


@dataclass(frozen=True)
class QnnOptions:
    """Choices for Qualcomm's NPU."""

    precision: str = "fp16"
    """One of QNN_PRECISIONS."""
    compression_name = "none"
    calibrated = False

    def __post_init__(self) -> None:
        check_precision("qnn", self.precision, QNN_PRECISIONS)

    def settings(self) -> Mapping[str, str]:
        """The chip that the programs are for."""
        return {"soc": QNN_SOC}
