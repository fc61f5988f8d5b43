"""A package cut into parts of a limited size, for devices that cannot load all of its weights at once.

The cut is made in the saved specification: the operations, in order, are dealt out to as few parts as stay below the
limit (joints.py), and the records of the weights file go with them (program_chunks.py).  The parts become one package
again, a Core ML pipeline with the inputs, outputs and metadata of the whole, which an app opens as before; or one
package each, for an app that loads and unloads them in turn.  No number is computed, so the parts compute what the
whole computes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.coreml.joints import choose_joints, crossings
from export.coreml.package import save_specification
from export.coreml.package_archive import CoreMLPackage
from export.coreml.program_chunks import ProgramChunk, deal, part_model, write_weights
from export.coreml.repack import WEIGHTS_FILE, create_package
from export.coreml.steps import read_steps
from export.coreml.toolchain import import_coremltools
from mobile_diffusion.errors import ExportError
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.staging import staged_folder

SUFFIX = ".mlpackage"


@dataclass(frozen=True)
class Chunk:
    """One part of a package that was cut."""

    operations: int
    """Without constants."""
    weight_bytes: int
    """Of its file of weights."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Chunks:
    """What became of a package."""

    path: Path
    """The pipeline, or the folder with the packages."""
    chunks: tuple[Chunk, ...]
    crossing_bytes: tuple[int, ...]
    """What crosses each joint in a call."""
    limit_bytes: int


def split_package(
    source: Path, limit_bytes: int, out: Path, separate: bool = False, progress: Progress = silent
) -> Chunks:
    """Cut a package so that no part has more than `limit_bytes` of weights, and write it to `out`.

    One that is below the limit already is written as it is, as one part.  With `separate`, `out` is a folder with a
    package for each part, `<name>-1-of-3.mlpackage` and so on; values that cross are their outputs and inputs.

    Raises:
        ExportError: no package that can be cut, an operation with more weights than the limit, or `out` exists.
    """
    package = CoreMLPackage.open(source)
    program = read_steps(package)
    joints = choose_joints(program, limit_bytes)
    parts = deal(package, program, joints)
    check_name(out, separate)
    with staged_folder(out) as folder:
        if separate:
            chunks = write_packages(package, parts, folder, progress)
        elif joints:
            chunks = write_pipeline(package, parts, folder, progress)
        else:
            shutil.copytree(source, folder, dirs_exist_ok=True)
            chunks = [chunk(parts[0], package.spec, weight_bytes(source))]
        progress("written", 1.0)
    crossing = crossings(program)
    return Chunks(out, tuple(chunks), tuple(crossing[joint] or 0 for joint in joints), limit_bytes)


def check_name(out: Path, separate: bool) -> None:
    """Raise `ExportError` for a package that no system would take for one."""
    if not separate and out.suffix != SUFFIX:
        raise ExportError(f"{out}: expected a name that ends in {SUFFIX}, got {out.name!r}")


def write_pipeline(
    package: CoreMLPackage, parts: Sequence[ProgramChunk], folder: Path, progress: Progress
) -> list[Chunk]:
    """Fill a folder with one package, a pipeline of the parts, each with a file of weights of its own."""
    create_package(folder)
    spec = import_coremltools().proto.Model_pb2.Model(specificationVersion=package.spec.specificationVersion)
    spec.description.CopyFrom(package.spec.description)
    chunks = []
    for number, part in enumerate(parts):
        progress(f"writing part {number + 1} of {len(parts)}", number / len(parts))
        model = part_model(package, part)
        chunks.append(chunk(part, model, write_weights(package, model, folder, f"{number}-{WEIGHTS_FILE}")))
        spec.pipeline.models.add().CopyFrom(model)
    save_specification(spec, folder)
    return chunks


def write_packages(
    package: CoreMLPackage, parts: Sequence[ProgramChunk], folder: Path, progress: Progress
) -> list[Chunk]:
    """Fill a folder with a package for each part."""
    chunks = []
    for number, part in enumerate(parts, 1):
        progress(f"writing part {number} of {len(parts)}", (number - 1) / len(parts))
        path = folder / f"{package.path.stem}-{number}-of-{len(parts)}{SUFFIX}"
        path.mkdir()
        create_package(path)
        model = part_model(package, part)
        metadata = model.description.metadata
        metadata.CopyFrom(package.spec.description.metadata)
        metadata.shortDescription = f"Part {number} of {len(parts)}. {metadata.shortDescription}".strip()
        chunks.append(chunk(part, model, write_weights(package, model, path, WEIGHTS_FILE)))
        save_specification(model, path)
    return chunks


def chunk(part: ProgramChunk, model: Any, weight_bytes: int) -> Chunk:
    """What is reported about a part."""
    names = [tuple(feature.name for feature in side) for side in (model.description.input, model.description.output)]
    return Chunk(len(part.steps), weight_bytes, *names)


def weight_bytes(path: Path) -> int:
    """Bytes of all files of weights of a package."""
    return sum(file.stat().st_size for file in path.rglob("*.bin"))
