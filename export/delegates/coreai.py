"""A Core AI asset as the payload of ExecuTorch's Core AI delegate, and back.

The payload is a JSON object that lists the asset's files; each of them is named data of the program, under the asset's
hash.  ExecuTorch gives and takes tensors in the order of the function's inputs and outputs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.coreai.asset import HASH, METADATA, PROGRAM, check_asset
from export.coreai.inspect import summary
from export.coreai.lower import FUNCTION
from export.delegates.read import Delegate
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import parse_json

if TYPE_CHECKING:
    from executorch.exir.backend.backend_details import PreprocessResult

BACKEND = "CoreAIBackend"
"""The delegate's name in ExecuTorch's runtime."""
ASSET = "model.aimodel"


def pack(asset: Path) -> PreprocessResult:
    """Return the payload with an asset; the asset is moved for the time, and is where it was afterwards."""
    from executorch.backends.apple.coreai.compiler.preprocess import AssetPackaging, _deliver

    digest = (asset / HASH).read_bytes().hex()
    place = {"path": f"{digest}/{ASSET}", "min_deployment_version": None}  # the asset's own
    with tempfile.TemporaryDirectory(dir=asset.parent) as work:
        os.replace(asset, Path(work) / ASSET)
        try:
            return _deliver(Path(work), digest, AssetPackaging.INLINE, place, None)
        finally:
            os.replace(Path(work) / ASSET, asset)


def unpack(path: Path, delegate: Delegate, inputs: Sequence[str], outputs: Sequence[str], folder: Path) -> Path:
    """Write the asset of a delegate into `folder`, and return it.

    Raises `ExportError` unless it is whole, and takes and returns the tensors of these names, a stage's, in this order;
    `path` is the program, for the message.
    """
    asset = folder / ASSET
    asset.mkdir()
    try:
        digest = str(parse_json(bytes(delegate.payload))["hash"])
        for name in (PROGRAM, HASH, METADATA):
            (asset / name).write_bytes(delegate.named[f"coreai/{digest}/{ASSET}/{name}"])
    except (ValueError, LookupError, TypeError) as error:
        reason = shortened(f"{type(error).__name__}: {error}")
        raise ExportError(f"{path}: expected a Core AI asset in the delegate, got {reason}; export it again") from None
    check_asset(asset)
    found = summary(asset)
    if FUNCTION not in found.function_names:
        got = shortened(", ".join(found.function_names)) or "none"
        raise ExportError(f"{path}: expected the function {FUNCTION}, got {got}; export it again")
    tensors = found.function_inputs(FUNCTION), found.function_outputs(FUNCTION)
    names = tuple([name for name, _ in each] for each in tensors)
    if names != ([*inputs], [*outputs]):
        got = shortened(f"{', '.join(names[0])} and {', '.join(names[1])}")
        expected = f"{', '.join(inputs)} and {', '.join(outputs)}"
        raise ExportError(f"{path}: expected a delegate with the tensors {expected}, got {got}; export it again")
    return asset
