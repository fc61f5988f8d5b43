"""What a call returns: logs, curves, sheets and weights in one archive, cut into files of the size that may come back.

cat result.tar.* | tar x
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.training.gpu.stages import MODELS

PIECE, PIECES = 15 << 20, 4
"""Bytes of a file, and how many of them."""
NOTES = ("settings/*.toml", "logs/*.log", "runs/*/curve.jsonl", "runs/*/settings.json", "runs/*/*.json")
WEIGHTS = ("runs/autoencoder/autoencoder.safetensors",)
PARTS = ("model.json", "unet.safetensors", "autoencoder.safetensors")
"""Of a checkpoint; the text encoder is the emoji model's."""


def collect(work: Path, out: Path) -> list[str]:
    """Write the archive of the folder `work` into `out`; returns the names of the files in it.

    A checkpoint that does not fit any more is left out, so the most valuable ones come first.
    """
    room = PIECE * PIECES - (1 << 20)
    packed, names = io.BytesIO(), list[str]()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for group in _groups(work):
            size = sum(path.stat().st_size + 1024 for path in group)
            if packed.tell() + size <= room:
                for path in group:
                    archive.add(path, str(path.relative_to(work)))
                    names.append(str(path.relative_to(work)))
    out.mkdir(parents=True, exist_ok=True)
    content = packed.getvalue()
    for number, start in enumerate(range(0, len(content), PIECE)):
        (out / f"result.tar.{number}").write_bytes(content[start : start + PIECE])
    return names


def _groups(work: Path) -> Iterator[list[Path]]:
    """Files that come back together, the most valuable first."""
    notes = {path for pattern in NOTES for path in work.glob(pattern)}
    yield sorted(path for path in notes if path.stat().st_size < 1 << 20)
    for run in sorted((work / "runs").glob("*")):
        yield sorted(run.glob("sheet-*.png"))[-1:]
    yield [path for name in WEIGHTS if (path := work / name).exists()]
    for name in MODELS:
        if (work / name / PARTS[0]).exists():
            yield [work / name / part for part in PARTS]
