"""What a call returns: notes (logs, curves, sheets) in one archive, and weights in another, which is cut into files.

    tar xf notes.tar; cat weights.tar.* | tar x

More weights than a call may return follow in the next one, with `--first-piece`.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.training.gpu.stages import MODELS

PIECE, PIECES = 11 << 20, 5
"""Bytes of a file of weights, and how many of them a call returns."""
NOTES = ("settings/*.toml", "logs/*.log", "runs/*/curve.jsonl", "runs/*/settings.json", "runs/evolution/*.json")
NOTE = 1 << 20
"""Bytes of the largest file that is a note."""
WEIGHTS = ("runs/autoencoder/autoencoder.json", "runs/autoencoder/autoencoder.safetensors")
PARTS = ("model.json", "unet.safetensors", "autoencoder.safetensors")
"""Of a checkpoint; text encoder and tokenizer are the emoji model's."""


def collect(work: Path, out: Path, first: int = 0) -> int:
    """Write notes, and weights from piece `first` on, into `out`; returns the number of pieces of all weights."""
    runs = sorted((work / "runs").glob("*"))
    sheets = [path for run in runs for path in sorted(run.glob("sheet-*.png"))[-1:]]
    notes = [path for pattern in NOTES for path in sorted(work.glob(pattern)) if path.stat().st_size <= NOTE]
    phone, *others = [[f"{name}/{part}" for part in PARTS] for name in MODELS]
    weights = [*phone, *WEIGHTS, *(path for paths in others for path in paths)]
    out.mkdir(parents=True, exist_ok=True)
    (out / "notes.tar").write_bytes(_archive(work, [*notes, *sheets]))
    content = _archive(work, [path for name in weights if (path := work / name).exists()])
    starts = range(0, len(content), PIECE)
    for number in range(len(starts))[first : first + PIECES]:
        (out / f"weights.tar.{number:02d}").write_bytes(content[starts[number] : starts[number] + PIECE])
    return len(starts)


def _archive(work: Path, files: Sequence[Path]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in files:
            archive.add(path, str(path.relative_to(work)))
    return packed.getvalue()
