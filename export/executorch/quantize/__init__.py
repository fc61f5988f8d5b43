"""Quantizes stages to 8 and 4 bits for XNNPACK."""

from export.executorch.quantize.recipe import PROGRAMS, Quantized

__all__ = ["PROGRAMS", "Quantized"]
