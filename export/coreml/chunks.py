"""Cuts a package into chunks of limited size, for devices that cannot load all of its weights at once.

The saved specification is cut: its operations, in order, are divided into as few chunks as the limit allows
(joints.py), and the records of the weights file are copied with them (program_chunks.py).  The chunks become either one
package again, a Core ML pipeline with the same inputs, outputs and metadata, which an app opens as before; or one
package each, for an app that loads and unloads them one after another.  No operation or weight is changed, so the
results are the same.
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
from mobile_diffusion.quoting import quoted
from mobile_diffusion.staging import staged_folder

SUFFIX = ".mlpackage"


@dataclass(frozen=True)
class Chunk:
    """One chunk of a package."""

    operations: int
    """Number of operations, without constants."""
    weight_bytes: int
    """Size of its weights file."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Chunks:
    """The result of cutting a package."""

    path: Path
    """The pipeline package, or the folder with one package per chunk."""
    chunks: tuple[Chunk, ...]
    crossing_bytes: tuple[int, ...]
    """Bytes that cross each joint per call."""
    limit_bytes: int


def split_package(
    source: Path, limit_bytes: int, out: Path, separate: bool = False, progress: Progress = silent
) -> Chunks:
    """Cut a package into chunks of at most `limit_bytes` of weights each, and write it to `out`.

    A package below the limit becomes one chunk.  With `separate`, `out` is a folder with one package per chunk,
    `<name>-1-of-3.mlpackage` and so on; values that cross a joint are outputs of one and inputs of the other.

    Raises:
        ExportError: the package cannot be cut, an operation has more weights than the limit, or `out` exists.
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
    """Raise `ExportError` unless the name of a package has the suffix that systems recognize."""
    if not separate and out.suffix != SUFFIX:
        raise ExportError(f"{out}: expected a name that ends in {SUFFIX}, got {quoted(out.name)}")


def write_pipeline(
    package: CoreMLPackage, parts: Sequence[ProgramChunk], folder: Path, progress: Progress
) -> list[Chunk]:
    """Fill a folder with one package: a pipeline of the chunks, each with its own weights file."""
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
    """Fill a folder with one package per chunk."""
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
    """Return the report on one chunk."""
    names = [tuple(feature.name for feature in side) for side in (model.description.input, model.description.output)]
    return Chunk(len(part.steps), weight_bytes, *names)


def weight_bytes(path: Path) -> int:
    """Return the total size of a package's weights files in bytes."""
    return sum(file.stat().st_size for file in path.rglob("*.bin"))
