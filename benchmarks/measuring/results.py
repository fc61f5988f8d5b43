"""The files of benchmarks/results, and what every one of them says of the machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from export.latency.measure import read_conditions
from mobile_diffusion.staging import write_bytes

PACKAGES = ("torch", "executorch", "coremltools", "coreai-core", "onnxruntime", "numpy")


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


def write_result(path: Path, found: Any) -> None:
    """Write a file of results, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(f"{json.dumps(found, indent=1)}\n".encode(), path)
