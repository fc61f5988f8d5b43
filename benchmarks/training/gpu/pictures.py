"""A data set as one file: its rows, and its pictures as lossless WebP, which takes 60 % of the bytes of the PNGs."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from mobile_diffusion.data import load_dataset
from mobile_diffusion.data.dataset import DATASET
from mobile_diffusion.staging import staged_file, staged_folder


def pack_pictures(data: Path, out: Path, every: int = 1) -> int:
    """Write every `every`-th picture of each style and split into the file `out`; returns their number."""
    lines = (data / DATASET).read_text(encoding="utf-8").splitlines()
    counted, chosen = Counter[tuple[str, str]](), []
    for line, sample in zip(lines, load_dataset(data), strict=True):
        if counted[sample.style, sample.split] % every == 0:
            chosen.append((line, sample))
        counted[sample.style, sample.split] += 1
    with staged_file(out) as scratch, zipfile.ZipFile(scratch, "w") as archive, ThreadPoolExecutor() as pool:
        archive.writestr(DATASET, "".join(f"{line}\n" for line, _ in chosen), zipfile.ZIP_DEFLATED)
        names = [sample.image for _, sample in chosen]
        for name, content in zip(names, pool.map(lambda name: _webp(data / name), names), strict=True):
            archive.writestr(name, content)
    return len(chosen)


def unpack_pictures(packed: Path, out: Path) -> None:
    """Write the data set of a packed file into the folder `out`, with the same pictures as PNG."""
    with staged_folder(out) as scratch, zipfile.ZipFile(packed) as archive, ThreadPoolExecutor() as pool:
        (scratch / DATASET).write_bytes(archive.read(DATASET))
        contents = [(scratch / name, archive.read(name)) for name in archive.namelist() if name != DATASET]
        for folder in {path.parent for path, _ in contents}:
            folder.mkdir(parents=True)
        list(pool.map(lambda item: _png(*item), contents))


def _webp(path: Path) -> bytes:
    packed = io.BytesIO()
    Image.open(path).convert("RGB").save(packed, "WEBP", lossless=True, quality=75, method=4)
    return packed.getvalue()


def _png(path: Path, packed: bytes) -> None:
    Image.open(io.BytesIO(packed)).convert("RGB").save(path, compress_level=1)
