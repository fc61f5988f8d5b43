"""A Core ML package as the payload of ExecuTorch's Core ML delegate, and back.

The payload is a small file system: `model.mlpackage`, and `metadata.json` with the names of inputs and outputs in the
order in which ExecuTorch gives and takes tensors.  The delegate keeps what it compiles under the identifier that is
written there, so it is a digest of the package.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.coreml.naming import stage_outputs
from export.coreml.options import CoreMLOptions
from export.coreml.package import SPECIFICATION
from export.coreml.structure import signature
from export.coreml.toolchain import NOISY_LOGGERS, import_coremltools
from export.delegates.read import Delegate
from export.quiet import errors_only
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import parse_json

if TYPE_CHECKING:
    from executorch.exir.backend.backend_details import PreprocessResult
    from executorch.exir.backend.compile_spec_schema import CompileSpec

BACKEND = "CoreMLBackend"
"""The delegate's name in ExecuTorch's runtime."""
ROOT, PACKAGE, METADATA = "lowered_module", "model.mlpackage", "metadata.json"
_CHUNK = 1 << 20


def pack(package: Path) -> PreprocessResult:
    """Return the payload with a package; the package is moved for the time, and is where it was afterwards."""
    from executorch.backends.apple.coreml import executorchcoreml
    from executorch.exir.backend.backend_details import PreprocessResult

    inputs, outputs = (tuple(spec.name for spec in specs) for specs in signature(specification(package)))
    names = {"inputNames": inputs, "outputNames": outputs, "identifier": f"executorch_{digest(package)}"}
    with tempfile.TemporaryDirectory(dir=package.parent) as work:
        root = Path(work) / ROOT
        root.mkdir()
        (root / METADATA).write_text(json.dumps(names), encoding="utf-8")
        os.replace(package, root / PACKAGE)
        try:
            payload = executorchcoreml.flatten_directory_contents(str(root))
        finally:
            os.replace(root / PACKAGE, package)
    if not payload:
        raise ExportError(f"{package}: expected a package that ExecuTorch can store, got none of its bytes")
    return PreprocessResult(processed_bytes=payload)


def settings(options: CoreMLOptions) -> list[CompileSpec]:
    """Return what the delegate reads on the phone: the compute units to ask for."""
    from executorch.exir.backend.compile_spec_schema import CompileSpec

    return [CompileSpec("compute_units", options.compute_units.lower().encode())]


def unpack(path: Path, delegate: Delegate, inputs: Sequence[str], outputs: Sequence[str], folder: Path) -> Path:
    """Write the package of a delegate into `folder`, and return it.

    Raises `ExportError` unless it takes and returns the tensors of these names, a stage's, in this order; `path` is
    the program, for the message.
    """
    from executorch.backends.apple.coreml import executorchcoreml

    try:
        known = executorchcoreml.unflatten_directory_contents(bytes(delegate.payload), str(folder))
    except RuntimeError:
        known = False
    if not known:
        raise ExportError(f"{path}: expected a Core ML package in the delegate, got other data; export it again")
    package = folder / ROOT / PACKAGE
    try:
        metadata = parse_json((folder / ROOT / METADATA).read_text(encoding="utf-8"))
        names = stage_outputs(specification(package))
        found = [*metadata["inputNames"]], [names[name] for name in metadata["outputNames"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = shortened(f"{type(error).__name__}: {error}")
        raise ExportError(f"{path}: expected a Core ML package with its names, got {reason}; export it again") from None
    if found != ([*inputs], [*outputs]):
        got = shortened(f"{', '.join(found[0])} and {', '.join(found[1])}")
        expected = f"{', '.join(inputs)} and {', '.join(outputs)}"
        raise ExportError(f"{path}: expected a delegate with the tensors {expected}, got {got}; export it again")
    return package


def specification(package: Path) -> object:
    """Return the specification of a package; raises `ValueError` if it is none."""
    ct = import_coremltools()
    spec = ct.proto.Model_pb2.Model()
    with errors_only(NOISY_LOGGERS):
        try:
            spec.ParseFromString((package / SPECIFICATION).read_bytes())
        except Exception as error:  # google.protobuf's DecodeError, which is no ValueError
            raise ValueError(f"{package}: expected a specification, got {type(error).__name__}") from error
    return spec


def digest(package: Path) -> str:
    """Return 32 digits that stand for the names and contents of a package's files."""
    found = hashlib.sha256()
    for file in sorted(each for each in package.rglob("*") if each.is_file()):
        found.update(f"{file.relative_to(package).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
    return found.hexdigest()[:32]
