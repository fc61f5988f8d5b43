"""Reads and writes `<stage>.json`, the file next to a .pte.

It has the stage's signature, because a .pte stores the order of its inputs but not their names.  It also says how much
of the stage the backend runs, for readers and for the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_json

PROGRAM = ".pte"
"""File suffix of a program."""


@dataclass(frozen=True)
class Delegation:
    """How one method is divided between a backend and ExecuTorch's portable kernels."""

    delegates: int
    """Number of subgraphs that the backend runs; one is best."""
    undelegated: dict[str, int]
    """Operations outside the delegates, with how often each occurs."""
    planned_bytes: int
    """Memory for values passed between delegates and operations, inputs and outputs included."""


def write_signature(path: Path, stage: ExportStage, delegation: Delegation, **notes: Any) -> None:
    """Write `<stage>.json` next to the program `path`; `notes` are further entries of the backend."""
    values = {
        "stage": stage.name,
        "inputs": [asdict(spec) for spec in stage.inputs],
        "outputs": [asdict(spec) for spec in stage.outputs],
        "delegation": asdict(delegation),
        **notes,
    }
    path.with_suffix(".json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_signature(path: Path, stage: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the inputs and outputs of the program `path`.

    Raises `ExportError` if the file next to it is missing, damaged, or of another stage.
    """
    known = _read(path)
    try:
        if known["stage"] != stage:
            raise ValueError(f"the stage {known['stage']}")
        return tuple(map(_spec, known["inputs"])), tuple(map(_spec, known["outputs"]))
    except (ValueError, LookupError, TypeError) as error:
        raise ExportError(f"{path}: expected the signature of {stage}, got {quoted(error)}; export it again") from error


def read_delegation(path: Path) -> Delegation:
    """Return how the program `path` is delegated; raises `ExportError` if the file next to it does not say."""
    try:
        return Delegation(**_read(path)["delegation"])
    except (KeyError, TypeError) as error:
        raise ExportError(
            f"{path}: expected a record of what is delegated, got {quoted(error)}; export it again"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    try:
        return parse_json(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{beside}: expected the signature of {path.name}, got {quoted(error)}; export it again"
        ) from error


def _spec(entry: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(entry["name"], entry["dtype"], tuple(entry["shape"]))
