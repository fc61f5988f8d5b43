"""Golden vectors: the reference's trajectories as plain files that any language reads.

`golden/index.json` lists, per case, prompt, seed (a string, because JSON numbers are doubles), guidance and tensors.  A
tensor is a little-endian file in C order.  The export writes them; `verify` and the tests of the apps read them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.bundle.manifest_parts import check_path
from export.parity.trajectories import Case, Trajectory
from mobile_diffusion.errors import BundleError
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import parse_json

INDEX = "golden/index.json"
_DTYPES = {"float32": "<f4", "int32": "<i4"}
PREFIXES = {"context": "", "null_context": "null_"}
"""Context -> prefix of the names of its inputs of `encode_text`."""
CONTEXTS = ("context", "pooled", "null_context", "null_pooled")
"""Outputs of `encode_text`, which a trajectory may have."""
ADAPTERS = ("adapters", "adapter_scales")
READ = ("source", "encoded", "latent_mask", "hints", "hint_features", "hint_scales", *ADAPTERS)
"""Tensors of a trajectory that reads a picture, hints, or adapters."""
SHARED = ("adapters",)
"""Tensors that are the same in every case, and one file."""
FLOATS = ("states", "image", *READ)
"""Tensors of a trajectory besides the contexts."""


def write_golden(folder: Path, trajectories: Sequence[Trajectory]) -> str:
    """Write all trajectories into `folder`/golden; returns the relative path of the index."""
    cases = [_write_case(folder, number, trajectory) for number, trajectory in enumerate(trajectories)]
    index = {"schema_version": 2, "byte_order": "little", "cases": cases}
    (folder / INDEX).write_text(json.dumps(index, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return INDEX


def read_golden(folder: Path, index: str = INDEX) -> list[Trajectory]:
    """Read all trajectories of a bundle; raises `BundleError` if the index or a tensor is malformed."""
    path = folder / check_path(index)
    try:
        cases = parse_json(path.read_text(encoding="utf-8"))["cases"]
        return [_read_case(folder, case) for case in cases]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        reason = shortened(f"{type(error).__name__}: {error}")
        raise BundleError(f"{path}: expected golden vectors, got {reason}; export the bundle again") from error


def tensors_of(trajectory: Trajectory) -> dict[str, NDArray[Any]]:
    """The tensors of a trajectory by the names of their files."""
    found: dict[str, NDArray[Any]] = {}
    for context, inputs in trajectory.prompts.items():
        found |= {PREFIXES[context] + name: values for name, values in inputs.items()}
    found |= trajectory.contexts
    return found | {name: getattr(trajectory, name) for name in FLOATS if getattr(trajectory, name) is not None}


def _write_case(folder: Path, number: int, trajectory: Trajectory) -> dict[str, Any]:
    place = f"golden/{number}"
    (folder / place).mkdir(parents=True)
    tensors = {}
    for name, values in tensors_of(trajectory).items():
        dtype = str(values.dtype)
        stored = np.ascontiguousarray(values, dtype=_DTYPES[dtype])
        path = f"golden/{name}.bin" if name in SHARED else f"{place}/{name}.bin"
        (folder / path).write_bytes(stored.tobytes())
        tensors[name] = {"path": path, "dtype": dtype, "shape": list(values.shape)}
    case = trajectory.case
    return {
        "prompt": case.prompt,
        "seed": str(case.seed),
        "strength": case.strength,
        "guidance": trajectory.guidance,
        "first_step": trajectory.skipped,
        "tensors": tensors,
    }


def _read_case(folder: Path, case: dict[str, Any]) -> Trajectory:
    tensors = {name: _read_tensor(folder, entry) for name, entry in case["tensors"].items()}
    prompts = {context: _prompt(tensors, PREFIXES[context]) for context in PREFIXES if context in tensors}
    return Trajectory(
        Case(str(case["prompt"]), int(case["seed"]), float(case["strength"])),
        float(case["guidance"]),
        prompts,
        {name: tensors[name] for name in CONTEXTS if name in tensors},
        int(case["first_step"]),
        tensors["states"],
        tensors["image"],
        **{name: tensors[name] for name in READ if name in tensors},
    )


def _prompt(tensors: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The inputs of `encode_text` among the tensors of a case."""
    return {name: tensors[prefix + name] for name in ("tokens", "mask") if prefix + name in tensors}


def _read_tensor(folder: Path, entry: dict[str, Any]) -> NDArray[Any]:
    shape, dtype = tuple(int(size) for size in entry["shape"]), str(entry["dtype"])
    data = (folder / check_path(entry["path"])).read_bytes()
    if dtype not in _DTYPES or len(data) != 4 * math.prod(shape):
        raise ValueError(f"{entry['path']}: {len(data)} bytes of {entry['dtype']} for {dtype} {shape}")
    return np.frombuffer(data, dtype=_DTYPES[dtype]).reshape(shape).copy()
