"""The choices of a user who exports for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

W8A16 = "w8a16"
PRECISIONS = ("fp32", "fp16", "int8", W8A16)
"""fp16: weights are stored in float16, and the arithmetic is float32.  w8a16: everything is quantized, for an NPU."""


@dataclass(frozen=True)
class OnnxOptions:
    """Choices for ONNX Runtime."""

    precision: str = "fp32"
    """One of PRECISIONS."""
    compression_name = "none"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"precision: expected one of {', '.join(PRECISIONS)} for onnx, got {quoted(self.precision)}"
            )

    @property
    def calibrated(self) -> bool:
        """Whether the lowering needs recorded inputs to calibrate the scales of activations."""
        return self.precision in ("int8", W8A16)

    def settings(self) -> Mapping[str, str]:
        """Return an empty mapping: an app needs to know nothing."""
        return {}
