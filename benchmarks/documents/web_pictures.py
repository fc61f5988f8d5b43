"""Makes docs/pictures/web-desk.png and web-phone.png: the page that draws in a browser, by day and by night.

    python -m benchmarks.documents.web_pictures build/web

The pictures in it are drawn by Chromium.  `make -C apps/web site` builds the page first.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from benchmarks.documents.browser import THEMES
from benchmarks.documents.driven_page import CHECKED, DONE, served, visit
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT

SIZES = {"desk": (1100, 1660), "phone": (390, 2400)}
GAP = 16
ASKED = "prompt=red+apple&seed=0&batch=4"
COMPARED = f"{CHECKED} && /passed|failed$/.test(document.getElementById('verdict').textContent)"


def main(bundle: Annotated[Path, typer.Argument(help="A bundle of `export web` with --image-to-image.")]) -> None:
    """Take the pictures and write them."""
    with tempfile.TemporaryDirectory() as folder, served(bundle, Path(folder)) as address:
        for name, size in SIZES.items():
            sheet = Image.new("RGB", (2 * size[0] + GAP, size[1]), "white")
            for number, theme in enumerate(sorted(THEMES)[::-1]):
                shot = Path(folder) / f"{name}-{theme}.png"
                actions = [
                    *(("click", "#styles button[data-value='3d']"), ("click", "#draw"), ("wait", DONE)),
                    *(("click", "#check"), ("wait", COMPARED), ("shot", shot)),
                ]
                visit(f"{address}?{ASKED}", actions, size, theme)
                with Image.open(shot) as taken:
                    sheet.paste(taken.convert("RGB").crop((0, 0, *size)), (number * (size[0] + GAP), 0))
            sheet.quantize(256, kmeans=1).save(ROOT / "docs" / "pictures" / f"web-{name}.png", optimize=True)


if __name__ == "__main__":
    run_script(main, __doc__)
