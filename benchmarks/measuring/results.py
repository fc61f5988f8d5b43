"""The files of benchmarks/results: what every one of them says of the machine, and of the checkpoint it speaks of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.paths import EMOJI
from export.latency.measure import read_conditions
from mobile_diffusion.checkpoint import source_hash
from mobile_diffusion.staging import write_bytes

PACKAGES = ("torch", "executorch", "coremltools", "coreai-core", "onnxruntime", "numpy")

PRESENT = "emoji"
"""How results call the model that is shipped.  Results of an earlier one have another name, such as emoji-27M."""
CHECKPOINT = "source_sha256"
"""Field of a row of PRESENT: the hash of the checkpoint it was measured with."""


def conditions(threads: int | None, **more: Any) -> dict[str, Any]:
    """Processor, cores, system and load as they are now, threads (None: one), versions, and what else is to be said."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return asdict(read_conditions()) | {"threads": threads or 1, "versions": versions} | more


def read_result(path: Path, default: Any) -> Any:
    """What was measured before; `default` for nothing."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else default


def rows_of_present(found: Any) -> Iterator[dict[str, Any]]:
    """Every object of some results that speaks of the model that is shipped."""
    if isinstance(found, dict):
        if PRESENT in (found.get("model"), found.get("name")):
            yield found
        for each in found.values():
            yield from rows_of_present(each)
    elif isinstance(found, list):
        for each in found:
            yield from rows_of_present(each)


def stamp(found: Any, rows: Iterable[dict[str, Any]]) -> Any:
    """Say in `rows`, parts of `found`, which checkpoint they are of: the present one, where none is named."""
    fresh = [row for row in rows if CHECKPOINT not in row]
    if fresh:
        present = source_hash(EMOJI)
        for row in fresh:
            row[CHECKPOINT] = present
    return found


def write_result(path: Path, found: Any) -> None:
    """Write a file of results, whole or not at all; new rows of the model that is shipped name its hash."""
    found = stamp(found, rows_of_present(found))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(f"{json.dumps(found, indent=1)}\n".encode(), path)
