"""Makes docs/pictures/report-desk.png and report-phone.png: a bundle's report.html by day and by night.

python -m benchmarks.documents.report_pictures build/ios
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from benchmarks.documents.browser import THEMES, screenshot
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT

SIZES = {"desk": (1100, 1500), "phone": (390, 2100)}
GAP = 16


def main(bundle: Annotated[Path, typer.Argument(help="A bundle with a report.")]) -> None:
    """Take the pictures and write them."""
    page = bundle.resolve() / "report.html"
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            shots = [screenshot(page, Path(folder) / f"{theme}.png", size, theme) for theme in sorted(THEMES)[::-1]]
        sheet = Image.new("RGB", (2 * size[0] + GAP, size[1]), "white")
        for number, shot in enumerate(shots):
            sheet.paste(shot, (number * (size[0] + GAP), 0))
        sheet.quantize(256, kmeans=1).save(ROOT / "docs" / "pictures" / f"report-{name}.png", optimize=True)


if __name__ == "__main__":
    run_script(main, __doc__)
