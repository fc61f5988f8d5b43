"""What lies beside a .pte, `<stage>.json`: the program itself knows the order of its inputs, but not their names.

Also how much of the stage its backend has taken, for people and for the manifest.
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

PROGRAM = ".pte"
"""Suffix of a program."""


@dataclass(frozen=True)
class Delegation:
    """How one method is divided between a backend and ExecuTorch's portable kernels."""

    delegates: int
    """Subgraphs that the backend runs; one is best."""
    undelegated: dict[str, int]
    """Operations outside of them, and how often each occurs."""
    planned_bytes: int
    """Memory for what the delegates and those operations hand to one another, inputs and outputs included."""


def write_signature(path: Path, stage: ExportStage, delegation: Delegation, **notes: Any) -> None:
    """Write the file that lies beside the program `path`; `notes` are what else a backend says about it."""
    values = {
        "stage": stage.name,
        "inputs": [asdict(spec) for spec in stage.inputs],
        "outputs": [asdict(spec) for spec in stage.outputs],
        "delegation": asdict(delegation),
        **notes,
    }
    path.with_suffix(".json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_signature(path: Path, stage: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of the program `path`; raises `ExportError` when they are not those of the stage."""
    known = _read(path)
    try:
        if known["stage"] != stage:
            raise ValueError(f"the stage {known['stage']}")
        return tuple(map(_spec, known["inputs"])), tuple(map(_spec, known["outputs"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: expected the signature of {stage}: {error!r}; export it again") from error


def read_delegation(path: Path) -> Delegation:
    """How the program `path` is divided; raises `ExportError` when the file beside it does not tell."""
    try:
        return Delegation(**_read(path)["delegation"])
    except (KeyError, TypeError) as error:
        raise ExportError(f"{path}: expected to be told what is delegated: {error!r}; export it again") from error


def _read(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    try:
        return json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{beside}: expected the signature of {path.name}: {error!r}; export it again") from error


def _spec(entry: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(entry["name"], entry["dtype"], tuple(entry["shape"]))
