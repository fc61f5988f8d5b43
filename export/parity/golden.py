"""Golden vectors: the reference's trajectories as plain files that any language reads.

`golden/index.json` names, for each case, prompt, seed (a string: JSON numbers are doubles), guidance and
tensors; a tensor is a little-endian file in C order.  Written at export, read by `verify` and by the tests of
the apps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.manifest import check_path
from export.parity.trajectories import Case, Trajectory
from mobile_diffusion.errors import BundleError

INDEX = "golden/index.json"
_DTYPES = {"float32": "<f4", "int32": "<i4"}
TENSORS = {
    "tokens": "int32",
    "mask": "int32",
    "null_tokens": "int32",
    "null_mask": "int32",
    "context": "float32",
    "null_context": "float32",
    "latents": "float32",
    "image": "float32",
}
"""Tensors of a case and their dtypes."""


def write_golden(folder: Path, trajectories: Sequence[Trajectory]) -> str:
    """Write all trajectories below `folder`/golden; gives the relative path of the index."""
    cases = [_write_case(folder, number, trajectory) for number, trajectory in enumerate(trajectories)]
    index = {"schema_version": 1, "byte_order": "little", "cases": cases}
    (folder / INDEX).write_text(json.dumps(index, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return INDEX


def read_golden(folder: Path, index: str = INDEX) -> list[Trajectory]:
    """Read all trajectories of a bundle; raises `BundleError` when the index or a tensor is malformed."""
    path = folder / check_path(index)
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        return [_read_case(folder, case) for case in cases]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BundleError(f"{path}: expected golden vectors, got {reason}; export the bundle again") from error


def _write_case(folder: Path, number: int, trajectory: Trajectory) -> dict[str, Any]:
    place = f"golden/{number}"
    (folder / place).mkdir(parents=True)
    tensors = {}
    for name, dtype in TENSORS.items():
        values = np.ascontiguousarray(getattr(trajectory, name), dtype=_DTYPES[dtype])
        (folder / place / f"{name}.bin").write_bytes(values.tobytes())
        tensors[name] = {"path": f"{place}/{name}.bin", "dtype": dtype, "shape": list(values.shape)}
    return {
        "prompt": trajectory.case.prompt,
        "seed": str(trajectory.case.seed),
        "guidance": trajectory.guidance,
        "tensors": tensors,
    }


def _read_case(folder: Path, case: dict[str, Any]) -> Trajectory:
    tensors = {name: _read_tensor(folder, case["tensors"][name], dtype) for name, dtype in TENSORS.items()}
    return Trajectory(Case(str(case["prompt"]), int(case["seed"])), float(case["guidance"]), **tensors)


def _read_tensor(folder: Path, entry: dict[str, Any], dtype: str) -> NDArray[Any]:
    shape = tuple(int(size) for size in entry["shape"])
    data = (folder / check_path(entry["path"])).read_bytes()
    if entry["dtype"] != dtype or len(data) != 4 * math.prod(shape):
        raise ValueError(f"{entry['path']}: {len(data)} bytes of {entry['dtype']} for {dtype} {shape}")
    return np.frombuffer(data, dtype=_DTYPES[dtype]).reshape(shape).copy()
