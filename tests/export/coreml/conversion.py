"""A MIL or torch program through coremltools."""

from __future__ import annotations

from typing import Any

from export.coreml.toolchain import NOISY_LOGGERS, without_bars
from export.quiet import errors_only


def convert(ct: Any, program: Any, precision: str, target: str, **options: Any) -> Any:
    """A model of coremltools, of a MIL program."""
    with errors_only(NOISY_LOGGERS), without_bars():
        return ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=getattr(ct.target, target),
            compute_precision=getattr(ct.precision, precision),
            skip_model_load=True,
            **options,
        )
