"""Writes a package with compressed weights from an uncompressed one.

Only the specification and the weights file are read.  Weights are compressed in order, two at a time if there are two
processors, so that memory holds only a few.  The written weights are read back and checked (verify.py) before the
package appears at its path.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from export.compression.plan import CompressionPlan
from export.compression.recipes import NONE, Recipe
from export.coreml.compress.encode import Encoded, encode
from export.coreml.compress.layers import WeightLayer, layers_of, opset_of, require_layers
from export.coreml.compress.rewrite import Place, Rewriting
from export.coreml.compress.verify import Promise, Reconstruction, verify
from export.coreml.package import SPECIFICATION, save_specification
from export.coreml.package_archive import CoreMLPackage
from mobile_diffusion.errors import ExportError
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.staging import staged_folder

WORKERS = 2
COMPRESSION_KEY = "mobile_diffusion.compression"
"""Key in the user-defined metadata: the recipes of a package, each with its number of weights."""
_WRITTEN = 0.8
"""Progress after the file is written; reading it back is the rest."""


def compress_package(
    source: Path, out: Path, plan: CompressionPlan, progress: Progress = silent, replace: bool = False
) -> tuple[Reconstruction, ...]:
    """Write the package `source` to `out`, with its weights compressed as the plan says.

    With `replace`, `out` may be `source`.  Returns the reconstruction of each compressed weight, read back from the
    file.

    Raises:
        ConfigError: the plan does not fit this package.
        ExportError: the package is not an uncompressed program, a weight is not finite, `out` cannot be written, or a
            weight that was read back does not have the expected error.
    """
    package = CoreMLPackage.open(source)
    layers = layers_of(package)
    require_layers(package, layers)
    recipes = plan.recipes(layers, opset_of(package.spec))
    with staged_folder(out, _require_package if replace else None) as folder:
        promised = write_weights(package, folder, layers, recipes, part_of(progress, 0.0, _WRITTEN))
        package.spec.description.metadata.userDefined[COMPRESSION_KEY] = summary(recipes)
        save_specification(package.spec, folder)
        copy_other_files(source, folder)
        return verify(source, folder, promised, part_of(progress, _WRITTEN, 1 - _WRITTEN))


def _require_package(path: Path) -> None:
    if not (path / SPECIFICATION).is_file():
        raise ExportError(f"{path}: expected a package to replace, got something else; choose another --out")


def summary(recipes: Mapping[str, Recipe]) -> str:
    """Return a text such as "palettize-6 (120), none (1)"."""
    names = [recipe.name for recipe in recipes.values()]
    return ", ".join(f"{name} ({names.count(name)})" for name in dict.fromkeys(names))


def copy_other_files(source: Path, folder: Path) -> None:
    """Copy the files of a package that are not in `folder` yet, such as its Manifest.json."""
    for file in sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file()):
        if not (folder / file).exists():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, folder / file)


def write_weights(
    package: CoreMLPackage,
    folder: Path,
    layers: tuple[WeightLayer, ...],
    recipes: Mapping[str, Recipe],
    progress: Progress,
) -> tuple[Promise, ...]:
    """Write the weights files and rewrite the specification in memory; returns the promise for each weight."""
    chosen = {layer.place: layer for layer in layers if recipes[layer.name].kind != NONE}
    total, done = sum(layer.count for layer in chosen.values()), 0
    rewriting, promised = Rewriting(package, folder), []
    with rewriting.files:
        for place, made in encoded_in_order(package, rewriting, chosen, recipes):
            if made is None:
                rewriting.copy(place)
                continue
            rewriting.put(place, made)
            promised.append(Promise(made.layer, made.recipe, made.made.operation, made.snr_db))
            done += made.layer.count
            progress("compressing weights", done / total)
    rewriting.finish()
    return tuple(promised)


def encoded_in_order(
    package: CoreMLPackage, rewriting: Rewriting, chosen: Mapping[Place, WeightLayer], recipes: Mapping[str, Recipe]
) -> Iterator[tuple[Place, Encoded | None]]:
    """Yield each record with its compressed weight, or None if it stays; compresses ahead of the consumer."""
    opset = opset_of(package.spec)

    def work(layer: WeightLayer) -> Encoded:
        weight = package.value(rewriting.values[layer.place]).view(np.float16)
        return encode(weight, layer, recipes[layer.name], opset)

    ahead: deque[tuple[Place, Future[Encoded] | None]] = deque()
    workers = min(WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        for place in rewriting.values:
            ahead.append((place, pool.submit(work, chosen[place]) if place in chosen else None))
            while sum(future is not None for _, future in ahead) > workers:
                yield finished(*ahead.popleft())
        while ahead:
            yield finished(*ahead.popleft())


def finished(place: Place, future: Future[Encoded] | None) -> tuple[Place, Encoded | None]:
    """Return a record with its compressed weight, or None if it stays."""
    return place, None if future is None else future.result()
