"""Combines several saved packages into one package with several functions that share weights (iOS 18).

An app opens one package and chooses a function by name, such as one network with different merged adapters, or for
different picture sizes.  Records with the same bytes are stored once, whatever their names.  Nothing is decoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.coreml import OUTPUTS_KEY
from export.coreml.blobs import RecordWriter
from export.coreml.chunks import check_name
from export.coreml.naming import stage_outputs
from export.coreml.package import WEIGHTS, save_specification
from export.coreml.package_archive import CoreMLPackage
from export.coreml.repack import WEIGHTS_FILE, SharedRecords, create_package, file_name, file_values, stored_bytes
from export.coreml.steps import Place, main_function
from export.coreml.toolchain import import_coremltools
from mobile_diffusion.errors import ExportError
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.quoting import quoted
from mobile_diffusion.staging import staged_folder

IOS18 = 9
"""The first specification version that allows several functions."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
"""Valid names of functions."""
DESCRIBED = ("input", "output", "state", "predictedFeatureName", "predictedProbabilitiesName")
"""Fields that a function's description and a model's description have in common."""


@dataclass(frozen=True)
class FunctionShare:
    """The weights of one function."""

    name: str
    records: int
    record_bytes: int
    """Stored bytes of all records that the function reads."""
    shared_records: int
    shared_bytes: int
    """Bytes of those records that were in the file already."""

    @property
    def shared(self) -> float:
        """The shared fraction of the bytes, from 0 to 1; 0 if there are none."""
        return self.shared_bytes / self.record_bytes if self.record_bytes else 0.0


@dataclass(frozen=True)
class Combined:
    """A package of several functions."""

    path: Path
    functions: tuple[FunctionShare, ...]
    default: str
    weight_bytes: int
    """Size of its weights file."""
    source_bytes: int
    """Stored bytes of the records of all source packages."""


def combine_packages(
    sources: Mapping[str, Path], out: Path, default: str | None = None, progress: Progress = silent
) -> Combined:
    """Combine the packages of `sources`, a mapping of function names to packages, into one package at `out`.

    `default` is the function for an app that names none; the first one if `default` is None.

    Raises:
        ExportError: there are fewer than two packages, a name is invalid, a package is for a system before iOS 18 or
            of another kind, two packages map an output of one name to different outputs of a stage, or `out` exists.
    """
    check_names(sources, default)
    check_name(out, False)
    packages = {name: CoreMLPackage.open(path) for name, path in sources.items()}
    for package in packages.values():
        check_package(package)
    spec = described(packages, default or next(iter(packages)))
    with staged_folder(out) as folder:
        create_package(folder)
        file = folder / WEIGHTS / WEIGHTS_FILE
        with RecordWriter(file) as writer:
            records, shares = SharedRecords(writer), []
            for number, (name, package) in enumerate(packages.items()):
                progress(f"writing {name}", number / len(packages))
                function = spec.mlProgram.functions[name]
                function.CopyFrom(main_function(package))
                shares.append(share_weights(package, name, function, records))
        written = file.stat().st_size
        save_specification(spec, folder)
        progress("written", 1.0)
    total = sum(share.record_bytes for share in shares)
    return Combined(out, tuple(shares), spec.description.defaultFunctionName, written, total)


def check_names(sources: Mapping[str, Path], default: str | None) -> None:
    """Raise `ExportError` unless there are at least two functions, their names are valid, and one is the default."""
    if len(sources) < 2:
        raise ExportError(f"expected at least two functions, got {len(sources)}; give each as NAME=PACKAGE")
    for name in sources:
        if not NAME.fullmatch(name):
            raise ExportError(f"expected a function name of letters, digits and _, got {quoted(name)}")
    if default is not None and default not in sources:
        raise ExportError(f"default: expected one of {', '.join(sources)}, got {quoted(default)}")


def check_package(package: CoreMLPackage) -> None:
    """Raise `ExportError` unless a package has one function and is for iOS 18 or later."""
    main_function(package)
    version = package.spec.specificationVersion
    if version < IOS18:
        raise ExportError(
            f"{package.path}: expected a package for iOS 18 (specification version {IOS18}), got version {version}; "
            "export all of them with --deployment-target iOS18"
        )


def described(packages: Mapping[str, CoreMLPackage], default: str) -> Any:
    """Return the combined specification without its program; each function has the description of its package."""
    proto = import_coremltools().proto.Model_pb2
    spec = proto.Model(specificationVersion=max(package.spec.specificationVersion for package in packages.values()))
    description, first = spec.description, packages[default].spec
    for name, package in packages.items():
        source = package.spec.description
        fields = {field: getattr(source, field) for field in DESCRIBED}
        description.functions.add().CopyFrom(proto.FunctionDescription(name=name, **fields))
    description.defaultFunctionName = default
    description.metadata.CopyFrom(first.description.metadata)
    description.metadata.userDefined[OUTPUTS_KEY] = json.dumps(merged_outputs(packages))
    spec.mlProgram.version = first.mlProgram.version
    return spec


def merged_outputs(packages: Mapping[str, CoreMLPackage]) -> dict[str, str]:
    """Return the stages' names of the outputs of all packages; raises `ExportError` if two packages disagree."""
    merged: dict[str, str] = {}
    for package in packages.values():
        for name, stage_name in stage_outputs(package.spec).items():
            if merged.setdefault(name, stage_name) != stage_name:
                raise ExportError(
                    f"{package.path}: expected the output {quoted(name)} to be {quoted(merged[name])}, as in the "
                    f"earlier packages, got {quoted(stage_name)}; combine packages of one stage"
                )
    return merged


def share_weights(package: CoreMLPackage, name: str, function: Any, records: SharedRecords) -> FunctionShare:
    """Copy the function's records that are not in the file yet, and update its references to all of its records."""
    offsets: dict[Place, int] = {}
    total = shared = hits = 0
    for operation in function.block_specializations[function.opset].operations:
        for value in file_values(operation):
            place = value.blobFileValue.fileName, value.blobFileValue.offset
            if place not in offsets:
                record = package.record(value)
                offsets[place], known = records.place(record)
                total, shared = total + stored_bytes(record), shared + stored_bytes(record) * known
                hits += known
            value.blobFileValue.fileName, value.blobFileValue.offset = file_name(WEIGHTS_FILE), offsets[place]
    return FunctionShare(name, len(offsets), total, hits, shared)
