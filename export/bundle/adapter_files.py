"""The adapters in a bundle: one file each, which an app reads to turn it on, and an index of what they change.

`adapters/NAME.safetensors` has one tensor, "factors" (r, P) float32, as mobile_diffusion/adapted.py arranges it.
`adapters/index.json` has the rank, the layers in the order of the columns, and the names in the order of the slots.
Its "fingerprint" is that of rank and layers; every file has it in its metadata, too, and fits a bundle with the same.
So an adapter that is made later is one more file, which an app may fetch at any time.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from export.bundle.bundle import Bundle
from export.bundle.manifest_parts import check_path
from mobile_diffusion.adapter_config import AdapterConfig
from mobile_diffusion.adapters import Adapters
from mobile_diffusion.config_json import from_dict
from mobile_diffusion.errors import BundleError, ConfigError
from mobile_diffusion.formats.adapter_files import check_name
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_json

FOLDER = "adapters"
INDEX = f"{FOLDER}/index.json"
TENSOR, FINGERPRINT = "factors", "fingerprint"
SUFFIX = ".safetensors"


def write_adapters(folder: Path, room: AdapterConfig | None, adapters: Adapters | None) -> None:
    """Write the adapters of a model into a bundle's folder; nothing for a model without them."""
    if room is None or adapters is None:
        return
    (folder / FOLDER).mkdir()
    for name, factors in zip(adapters.names, adapters.factors, strict=True):
        write_adapter(folder / _path(name), room, factors)
    index = {"schema_version": 1, FINGERPRINT: room.fingerprint, **dataclasses.asdict(room)}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def write_adapter(file: Path, room: AdapterConfig, factors: NDArray[np.float32]) -> None:
    """Write factors (r, P) as a file for every bundle with the same room."""
    save_file({TENSOR: np.ascontiguousarray(factors)}, file, {FINGERPRINT: room.fingerprint})


def read_adapters(bundle: Bundle, more: Sequence[Path] = ()) -> Adapters | None:
    """The adapters of a bundle, and `more` of them from files that were made later; None if `denoise` takes none.

    An adapter has the name of its file.  Raises `BundleError` if a file is missing or damaged, or does not fit
    `denoise`; `ConfigError` for a name that cannot be used, or that is used twice.
    """
    room = read_room(bundle)
    if room is None:
        if more:
            raise ConfigError(
                f"--adapter-file: expected a bundle with adapters, got {bundle.path}; see export --adapter"
            )
        return None
    names = (*room.names, *(check_name(file.name.removesuffix(SUFFIX)) for file in more))
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"--adapter-file: expected each name once, got {quoted(twice)} twice; rename the file")
    files = (*(bundle.path / check_path(_path(name)) for name in room.names), *more)
    return Adapters(names, tuple(_read(file, room) for file in files), len(room.names))


def read_room(bundle: Bundle) -> AdapterConfig | None:
    """What the adapters of a bundle change; None if its `denoise` takes none.  Raises `BundleError` for an index that
    is missing or damaged, or does not fit `denoise`."""
    shape, file = bundle.settings().adapters, bundle.path / INDEX
    if not shape:
        return None
    try:
        values = dict(parse_json(file.read_bytes()))
        fingerprint = values.pop(FINGERPRINT)
        values.pop("schema_version")
        room = from_dict(AdapterConfig, values)
        for name in room.names:
            check_name(name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BundleError(f"{file}: expected adapters, got {reason}; export the bundle again") from error
    if (room.shape, room.fingerprint) != (shape, fingerprint):
        found = f"{room.shape} of {quoted(fingerprint)}"
        reason = f"expected adapters of {shape} with the fingerprint {room.fingerprint}, got {found}"
        raise BundleError(f"{file}: {reason}; export the bundle again")
    return room


def _read(file: Path, room: AdapterConfig) -> NDArray[np.float32]:
    """The factors (r, P) in a file."""
    try:
        with safe_open(file, framework="numpy") as stored:
            fingerprint, factors = (stored.metadata() or {}).get(FINGERPRINT), stored.get_tensor(TENSOR)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{file}: expected an adapter, got {error}; make it with `export adapter`") from error
    shape = room.shape[1:]
    if (fingerprint, factors.dtype, factors.shape) != (room.fingerprint, np.dtype(np.float32), shape):
        got = f"{factors.dtype} {factors.shape} of {quoted(fingerprint)}"
        reason = f"expected an adapter of this bundle's layers, float32 {shape} of {room.fingerprint}, got {got}"
        raise BundleError(f"{file}: {reason}; make it for this bundle with `export adapter`")
    if not np.isfinite(factors).all():
        raise BundleError(f"{file}: expected finite numbers, got NaN or infinity; make it anew with `export adapter`")
    found: NDArray[np.float32] = factors
    return found


def _path(name: str) -> str:
    return f"{FOLDER}/{name}{SUFFIX}"
