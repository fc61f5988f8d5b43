"""Makes the data set: downloads packages, renders pictures, and writes them with their captions.

An interrupted run resumes: every file is written atomically, and a later run keeps the archives whose hash is right
and the pictures whose recipe is current.  It removes what a killed run left half-written.  dataset.jsonl is rewritten
after each style, so training can start on the first style while the others are rendered.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mobile_diffusion.data.concepts import Concept, read_concepts
from mobile_diffusion.data.dataset import DATASET, Sample, load_dataset, write_dataset
from mobile_diffusion.data.emoji_packages import CAPTION_PACKAGES, STYLES, Style
from mobile_diffusion.data.licences import LICENCES, licence_summary
from mobile_diffusion.data.package_archive import fetch
from mobile_diffusion.data.pictures import Artwork, concept_key, is_finished, read_artwork, render, write_png
from mobile_diffusion.errors import DataError
from mobile_diffusion.progress import Progress, part_of, silent, tracked
from mobile_diffusion.staging import remove_leftovers, write_bytes

_log = logging.getLogger(__name__)

_RENDERING = 1
"""Version of the rendering; increase it when rendering changes, so that all pictures are rendered again."""


def prepare(folder: Path, styles: Sequence[Style], progress: Progress = silent) -> list[Sample]:
    """Make or complete the data set in `folder` for these styles; rows of other styles are kept.

    Returns all samples of the data set.  Raises DataError when a package cannot be downloaded or a file cannot be
    written.
    """
    sources = folder / "sources"
    packages = list(dict.fromkeys([*CAPTION_PACKAGES, *(p for style in styles for p in style.packages)]))
    for used in (folder, sources, *(folder / "images" / style.name for style in STYLES.values())):
        remove_leftovers(used)
    share = 1 / (1 + len(styles))  # of the whole: the packages, and each style
    for package in tracked(packages, "packages", part_of(progress, 0.0, share)):
        fetch(package, sources)
    concepts = read_concepts(sources)
    samples = _known_samples(folder, concepts)
    try:
        for number, style in enumerate(styles, start=1):
            part = part_of(progress, number * share, share)
            samples[style.name] = _prepare_style(style, concepts, folder, part)
            _write(samples, folder)
    except OSError as error:
        raise DataError(
            f"expected to write in {folder}, got {error.strerror or error}; free space or change --out"
        ) from error
    return _in_order(samples)


def _known_samples(folder: Path, concepts: dict[str, Concept]) -> dict[str, list[Sample]]:
    """Load the rows of an earlier run per style; words and split are updated, so that all styles agree."""
    samples: dict[str, list[Sample]] = {}
    try:
        known = load_dataset(folder) if (folder / DATASET).is_file() else []
    except DataError as error:
        _log.warning("ignoring the existing rows: %s", error)
        known = []
    for sample in known:
        concept = concepts.get(concept_key(sample.hexcode))
        if concept is not None and sample.style in STYLES:
            samples.setdefault(sample.style, []).append(replace(sample, **asdict(concept)))
    return samples


def _prepare_style(style: Style, concepts: dict[str, Concept], folder: Path, progress: Progress) -> list[Sample]:
    """Render the missing pictures of one style; return its samples in the order of the concepts."""
    (folder / "images" / style.name).mkdir(parents=True, exist_ok=True)
    # A concept may have several drawings in a package; the first one is used.
    artwork: dict[str, Artwork] = {}
    for drawing in read_artwork(style, folder / "sources"):
        if drawing.key in concepts:
            artwork.setdefault(drawing.key, drawing)
    if not artwork:
        raise DataError(f"expected drawings in {style.package.address}, got none that has a caption; pin another")
    samples = []
    for key, concept in concepts.items():
        if key in artwork:
            sample = _sample(style, concept, folder)
            _draw(artwork[key], style, folder / sample.image)
            samples.append(sample)
            progress(f"{style.name}: {len(samples)} of {len(artwork)}", len(samples) / len(artwork))
    return samples


def _draw(artwork: Artwork, style: Style, path: Path) -> None:
    """Render one picture, unless a finished one exists."""
    recipe = f"{style.package.address} {artwork.key} inset {style.inset} rendering {_RENDERING}"
    if not is_finished(path, recipe):
        write_png(render(artwork, style.inset), path, recipe)


def _sample(style: Style, concept: Concept, folder: Path) -> Sample:
    return Sample(
        id=f"{style.name}/{concept.hexcode}",
        style=style.name,
        **asdict(concept),
        package=style.package.name,
        version=style.package.version,
        licence=LICENCES[style.licence].spdx,
        image=f"images/{style.name}/{concept.hexcode}.png",
        folder=folder,
    )


def _in_order(samples: dict[str, list[Sample]]) -> list[Sample]:
    return [sample for name in STYLES for sample in samples.get(name, [])]


def _write(samples: dict[str, list[Sample]], folder: Path) -> None:
    write_dataset(_in_order(samples), folder)
    licences = licence_summary(style for name, style in STYLES.items() if name in samples)
    write_bytes(licences.encode(), folder / "LICENSES.txt")
