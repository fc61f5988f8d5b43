"""Write what the long training needs, in four parts that travel one after the other to a GPU without a network.

    .venv/bin/python -m benchmarks.training.gpu.package --data data/emoji --weights data/weights --out build/gpu

Part `code` goes with every call; `perceptual`, `pictures` and `text` are needed once, because the machine unpacks them
into its folder of work.  benchmarks/training/gpu/run.py says how to start.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring.command_line import Data, run_script
from benchmarks.paths import EMOJI, ROOT
from benchmarks.training.gpu.pictures import pack_pictures
from mobile_diffusion.staging import staged_folder
from mobile_diffusion.training.lpips import load_lpips, save_half

MEBIBYTES = 60
"""Largest size of `code` with one other part: machines that lend a GPU limit what a call carries."""
CODE = ("mobile_diffusion", "benchmarks")
TEXT = ("text_encoder.safetensors", "tokenizer.json")
TRAINING = ("blocks.json", "unet-2.toml")
"""Files of the emoji model's training that stages and ablations read."""
PACKED = "pictures.zip"


def main(
    data: Data = Path("data/emoji"),
    weights: Annotated[Path, typer.Option(help="Folder of LPIPS's weights; downloaded if missing.")] = Path(
        "data/weights"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("build/gpu"),
    every: Annotated[int, typer.Option(help="Take every n-th picture, to try the package.", min=1)] = 1,
) -> None:
    """Write the package, and print the size of each part."""
    with staged_folder(out) as folder:
        for name in CODE:
            shutil.copytree(ROOT / name, folder / "code" / name, ignore=_left_out)
        for name in TRAINING:
            _copy(EMOJI / "training" / name, folder / "code" / EMOJI.relative_to(ROOT) / "training" / name)
        save_half(load_lpips(weights), folder / "perceptual")
        (folder / "pictures").mkdir()
        count = pack_pictures(data, folder / "pictures" / PACKED, every)
        for name in TEXT:
            _copy(EMOJI / name, folder / "text" / name)
    sizes = {part.name: _size(part) for part in sorted(out.iterdir())}
    for name, size in sizes.items():
        sys.stdout.write(f"{name}: {size / 2**20:.1f} MiB\n")
    largest = sizes["code"] + max(size for name, size in sizes.items() if name != "code")
    if largest > MEBIBYTES * 2**20:
        raise typer.BadParameter(f"expected at most {MEBIBYTES} MiB in a call, got {largest / 2**20:.1f}")
    sys.stdout.write(f"{count} pictures; {out} written\n")


def _left_out(folder: str, names: list[str]) -> list[str]:
    """What no training reads: results, caches, and the vocabulary of another tokenizer."""
    return [name for name in names if name in ("__pycache__", "results", "clip_vocabulary")]


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    run_script(main, __doc__)
