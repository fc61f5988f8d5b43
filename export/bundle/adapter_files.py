"""The adapters in a bundle: one file each, which an app reads to turn it on, and an index of what they change.

`adapters/NAME.safetensors` has one tensor, "factors" (r, P) float32, as mobile_diffusion/adapted.py arranges it.
`adapters/index.json` has the rank, the layers in the order of the columns, and the names in the order of the slots.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from export.bundle.bundle import Bundle
from export.bundle.manifest_parts import check_path
from mobile_diffusion.adapter_config import AdapterConfig
from mobile_diffusion.adapters import Adapters
from mobile_diffusion.config_json import from_dict
from mobile_diffusion.errors import BundleError, ConfigError
from mobile_diffusion.formats.adapter_files import check_name

FOLDER = "adapters"
INDEX = f"{FOLDER}/index.json"
TENSOR = "factors"


def write_adapters(folder: Path, room: AdapterConfig | None, adapters: Adapters | None) -> None:
    """Write the adapters of a model into a bundle's folder; nothing for a model without them."""
    if room is None or adapters is None:
        return
    (folder / FOLDER).mkdir()
    for name, factors in zip(adapters.names, adapters.factors, strict=True):
        save_file({TENSOR: np.ascontiguousarray(factors)}, folder / _path(name))
    index = {"schema_version": 1, **dataclasses.asdict(room)}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def read_adapters(bundle: Bundle) -> Adapters | None:
    """The adapters of a bundle; None if its `denoise` takes none.

    Raises `BundleError` if a file is missing or damaged, or does not fit `denoise`.
    """
    shape, file = bundle.settings().adapters, bundle.path / INDEX
    if not shape:
        return None
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        room = from_dict(AdapterConfig, {name: value for name, value in values.items() if name != "schema_version"})
        tensors = [load_file(bundle.path / check_path(_path(check_name(name))))[TENSOR] for name in room.names]
    except (OSError, ValueError, KeyError, AttributeError, ConfigError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BundleError(f"{file}: expected adapters, got {reason}; export the bundle again") from error
    found = [(each.dtype, each.shape) for each in tensors]
    if room.shape != shape or any(each != (np.dtype(np.float32), shape[1:]) for each in found):
        got = ", ".join(f"{kind} {sides}" for kind, sides in found)
        raise BundleError(f"{file}: expected adapters of float32 {shape[1:]}, got {got}; export the bundle again")
    return Adapters(room.names, np.stack(tensors))


def _path(name: str) -> str:
    return f"{FOLDER}/{name}.safetensors"
