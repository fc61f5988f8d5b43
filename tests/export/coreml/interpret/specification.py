"""The package that tests damage and change: its input, and parts of its specification."""

from __future__ import annotations

from typing import Any

import numpy as np

X = np.ones((1, 64), np.float32)
SIZE = 512
"""Outputs of its linear layer, whose weight is (512, 64)."""


def operations(spec: Any) -> Any:
    """Of the main function."""
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset].operations


def constants(spec: Any) -> dict[str, Any]:
    """The constants of the main function by name."""
    return {each.outputs[0].name: each.attributes["val"] for each in operations(spec) if each.type == "const"}


def found(spec: Any, kind: str) -> Any:
    """The first operation of a kind."""
    return next(operation for operation in operations(spec) if operation.type == kind)
