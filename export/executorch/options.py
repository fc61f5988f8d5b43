"""The choices of a user who exports for ExecuTorch: the precision, per backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from export.mixed.names import CHECKPOINT, parse, setting_of
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

XNNPACK_PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic", "int4-dynamic")
VULKAN_PRECISIONS = ("fp32", "fp16")
QNN_PRECISIONS = ("fp16",)
QNN_SOC = "SM8650"
"""The chip for which an NPU program is compiled: Snapdragon 8 Gen 3."""


def check_precision(backend: str, precision: str, choices: tuple[str, ...]) -> None:
    """Raise `ConfigError` with the choices unless `precision` is one of them."""
    if precision not in choices:
        raise ConfigError(f"precision: expected one of {', '.join(choices)} for {backend}, got {quoted(precision)}")


@dataclass(frozen=True)
class XnnpackOptions:
    """Choices for XNNPACK, on the CPU."""

    precision: str = "fp32"
    """One of XNNPACK_PRECISIONS.  "fp16" stores weights in float16 and computes in float32 (half.py)."""
    mixed_precision: str = CHECKPOINT
    """With fp16, the modules whose weights stay in float32: names as in export/mixed/names.py, or "auto" or "none".
    An export replaces these two by names before it lowers (export/job/mixed.py)."""

    def __post_init__(self) -> None:
        check_precision("xnnpack", self.precision, XNNPACK_PRECISIONS)
        parse(self.mixed_precision)

    @property
    def compression_name(self) -> str:
        """Always "none": the precision also says how weights are stored."""
        return "none"

    @property
    def calibrated(self) -> bool:
        """Whether the lowering needs recorded inputs to calibrate the scales of activations."""
        return self.precision == "int8"

    def settings(self) -> Mapping[str, str]:
        """Return the modules that stayed in float32, if there are any."""
        return setting_of(self.mixed_precision)


@dataclass(frozen=True)
class VulkanOptions:
    """Choices for Vulkan, on the GPU."""

    precision: str = "fp32"
    """One of VULKAN_PRECISIONS."""
    mixed_precision: str = CHECKPOINT
    """With fp16, the modules that compute in float32; otherwise as in `XnnpackOptions`."""
    compression_name = "none"
    calibrated = False

    def __post_init__(self) -> None:
        check_precision("vulkan", self.precision, VULKAN_PRECISIONS)
        parse(self.mixed_precision)

    def settings(self) -> Mapping[str, str]:
        """Return the modules that stayed in float32, if there are any."""
        return setting_of(self.mixed_precision)


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
        """Return the chip for which the programs are compiled."""
        return {"soc": QNN_SOC}
