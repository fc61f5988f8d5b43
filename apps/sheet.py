"""The same prompts and seeds drawn by every language, side by side, and whether the pictures are the same.

    .venv/bin/python apps/sheet.py --bundle build/android --out build/apps.png

Every other language is compared with Python's ExecuTorch runner: each runs the same programs on the same runtime,
so each picture must be Python's byte for byte.  PyTorch's stands beside them. apps.json beside the sheet states for
each picture its hash, whether it is equal, and its distance from PyTorch's.  The exit status is 1 when a picture
differs, or when a program is not built (its column is then empty), unless --allow-missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform import machine
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from export.artists.artist import Artist, bundle_artist, model_artist
from export.artists.demo import PROMPTS
from export.bundle.bundle import open_bundle
from export.report.pictures import grid, save_picture
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.decibels import psnr_db
from mobile_diffusion.drawing import draw
from mobile_diffusion.errors import MobileDiffusionError
from mobile_diffusion.staging import staged_file

LOGGER = logging.getLogger(__name__)
APPS = Path(__file__).resolve().parent
RUNTIME = "xnnpack"
PYTHON = "Python"

Pixels = NDArray[np.uint8]
Draw = Callable[[str, int], Pixels]
Columns = dict[str, Draw | str]
"""How each column draws a prompt and a seed; or why it cannot."""


@dataclass(frozen=True)
class Language:
    """A program that draws with a bundle, and how it is built."""

    title: str
    program: Path
    build: str
    """What builds it."""
    image: tuple[str, str]
    """Its option for the picture's file, and the file's name."""

    def draw(self, bundle: Path, threads: int, size: tuple[int, int], prompt: str, seed: int) -> Pixels:
        """A picture (H, W, 3); raises `MobileDiffusionError` with what the program says when it fails."""
        with tempfile.TemporaryDirectory() as name:
            option, file = self.image[0], Path(name) / self.image[1]
            words = ["--bundle", bundle, "--prompt", prompt, "--seed", seed, "--threads", threads, option, file]
            done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True)
            if done.returncode != 0:
                raise MobileDiffusionError(f"{self.title}: expected a picture, got: {done.stderr.strip()[-500:]}")
            return read_pixels(file, size)


LANGUAGES = (
    Language("C++", APPS / "runner" / "build" / machine() / "runner", "make -C apps/runner", ("--out", "a.png")),
    Language("Kotlin", APPS / "android" / "build" / "host" / "draw", "make -C apps/android host", ("--out", "a.rgb")),
    Language("Swift", APPS / "ios" / "build" / "draw", "make -C apps/ios draw", ("--out", "a.rgb")),
)


def read_pixels(file: Path, size: tuple[int, int]) -> Pixels:
    """A PNG, or rows of red, green, blue bytes, of a known height and width."""
    if file.suffix == ".png":
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    return np.frombuffer(file.read_bytes(), np.uint8).reshape(*size, 3)


def blank(size: tuple[int, int], reason: str) -> Pixels:
    """An empty picture that says why it is."""
    image = Image.new("RGB", (size[1], size[0]), (235, 235, 235))
    ImageDraw.Draw(image).multiline_text((4, 4), reason, (120, 120, 120), ImageFont.load_default(10))
    return np.asarray(image)


def by_artist(artist: Artist) -> Draw:
    """Python's own drawing."""
    return lambda prompt, seed: draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, seed)


def open_columns(bundle_path: Path, model: Path, threads: int) -> tuple[Columns, tuple[int, int]]:
    """All columns, and height and width of a picture."""
    bundle = open_bundle(bundle_path)
    size = (bundle.manifest.model.height, bundle.manifest.model.width)
    columns: Columns = {
        "PyTorch": by_artist(model_artist(open_checkpoint(model))),
        PYTHON: by_artist(bundle_artist(bundle, RUNTIME, threads)),
    }
    for language in LANGUAGES:
        columns[language.title] = _program(language, bundle_path, threads, size)
    return columns, size


def _program(language: Language, bundle: Path, threads: int, size: tuple[int, int]) -> Draw | str:
    if not language.program.is_file():
        return f"not built;\n{language.build}"
    return lambda prompt, seed: language.draw(bundle, threads, size, prompt, seed)


def describe(picture: Pixels, reference: Pixels, torch: Pixels) -> dict[str, Any]:
    """What apps.json says of a picture; the distance is null when there is none."""
    distance = psnr_db(torch / 255.0, picture / 255.0)
    return {
        "sha256": hashlib.sha256(picture.tobytes()).hexdigest(),
        "equal": bool(np.array_equal(picture, reference)),
        "psnr_db_to_torch": round(distance, 2) if np.isfinite(distance) else None,
    }


def draw_sheet(
    columns: Columns, size: tuple[int, int], prompts: Sequence[tuple[str, int]]
) -> tuple[Image.Image, list[dict[str, Any]]]:
    """The sheet, and what is to be said of its pictures, row by row."""
    rows, said = [], []
    for prompt, seed in prompts:
        LOGGER.info("drawing %r, seed %d", prompt, seed)
        drawn = {title: each(prompt, seed) for title, each in columns.items() if not isinstance(each, str)}
        shown = [blank(size, each) if isinstance(each, str) else drawn[title] for title, each in columns.items()]
        rows.append((f"{prompt}\nseed {seed}", shown))
        pictures = {
            title: describe(picture, drawn[PYTHON], drawn["PyTorch"])
            for title, picture in drawn.items()
            if title != "PyTorch"
        }
        said.append({"prompt": prompt, "seed": str(seed), "pictures": pictures})
    return grid(list(columns), rows), said


def main() -> int:
    """Draw the sheet and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("build/android"), help="bundle with ExecuTorch's programs")
    parser.add_argument("--model", type=Path, default=Path("assets/emoji"), help="checkpoint that it was exported from")
    parser.add_argument("--out", type=Path, default=Path("build/apps.png"), help="PNG; the JSON is written beside it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=len(PROMPTS), help="rows")
    parser.add_argument("--allow-missing", action="store_true", help="status 0 though a program is not built")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        columns, size = open_columns(options.bundle, options.model, options.threads)
        sheet, rows = draw_sheet(columns, size, PROMPTS[: options.count])
        missing = {title: " ".join(each.split()) for title, each in columns.items() if isinstance(each, str)}
        save_picture(sheet, options.out)
        with staged_file(options.out.with_suffix(".json")) as scratch:
            values = {"runtime": RUNTIME, "threads": options.threads, "missing": missing, "rows": rows}
            scratch.write_text(json.dumps(values, indent=1) + "\n")
    except MobileDiffusionError as error:
        LOGGER.error("%s", error)
        return 2
    for title, reason in missing.items():
        LOGGER.warning("%s: %s", title, reason)
    different = [
        f"{title}: {row['prompt']!r}, seed {row['seed']}"
        for row in rows
        for title, picture in row["pictures"].items()
        if not picture["equal"]
    ]
    for line in different:
        LOGGER.error("%s: expected Python's picture, got another", line)
    return 1 if different or (missing and not options.allow_missing) else 0


if __name__ == "__main__":
    sys.exit(main())
