"""Renders the app's screens on Linux: the app's own views on a stand-in for SwiftUI, then a browser.

    .venv/bin/python apps/ios/preview/render.py --bundle build/android --other build/ios --out build/ios-preview

The pictures, steps and times on the screens are real: the app's models draw with the bundle, on ExecuTorch's x86-64
runtime.  The layout is the stand-in's, not Apple's: sizes are near, and nothing here proves how an iPhone shows them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).parent
PROGRAM = HERE.parent / "build" / "preview" / "release" / "preview"
CAPTION = (
    "Rendered on Linux by a stand-in for SwiftUI, not by an iPhone. Pictures: the emoji model's, by the app's code."
)
SHEETS = {
    "ios-draw": ("drawing-light", "finished-dark"),
    "ios-start": ("start-light", "start-dark"),
    "ios-history": ("history-light", "detail-dark"),
    "ios-benchmark": ("benchmark-light", "models-dark"),
}
"""Picture -> its screens, from left to right."""
STATUS = """<div class="status-bar"><span>9:41</span><svg viewBox="0 0 66 13">
<rect x="0" y="8" width="3" height="5" rx="1"/><rect x="5" y="5.5" width="3" height="7.5" rx="1"/>
<rect x="10" y="3" width="3" height="10" rx="1"/><rect x="15" y="0" width="3" height="13" rx="1"/>
<path d="M30.5 2.200c3 0 5.7 1.1 7.7 3l1.1-1.200a12.6 12.6 0 0 0-17.6 0l1.1 1.200c2-1.9 4.7-3 7.7-3zm0 4c1.9 0
3.6.7 4.9 1.900l1.2-1.200a8.8 8.8 0 0 0-12.2 0l1.2 1.200a7 7 0 0 1 4.9-1.900zm0 4c-.8 0-1.5.3-2.1.8l2.1 2 2.1-2a3 3 0 0
0-2.1-.8z"/>
<rect x="43.5" y=".5" width="19" height="12" rx="3.5" fill="none" stroke="currentColor" opacity=".4"/>
<rect x="45" y="2" width="16" height="9" rx="2"/><path d="M64 4.500v4c1-.4 1.5-1.1 1.5-2s-.5-1.6-1.5-2z" opacity=".5"/>
</svg></div>"""


def link_bundle(bundle: Path, target: Path) -> None:
    """The same files under another name."""
    try:
        shutil.copytree(bundle, target, copy_function=os.link)
    except (OSError, shutil.Error):  # on another disk
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(bundle, target)


def read_texts(language: str) -> dict[str, str]:
    """The app's texts in a language, by their keys."""
    catalogue = json.loads((HERE.parent / "Sample" / "Localizable.xcstrings").read_text(encoding="utf-8"))
    texts = {}
    for key, entry in catalogue["strings"].items():
        form = entry["localizations"].get(language, {})
        form = form.get("variations", {}).get("plural", {}).get("other", form)
        texts[key] = form.get("stringUnit", {}).get("value", key)
    return texts


def collect(bundle: Path, other: Path | None, language: str, work: Path) -> dict[str, Any]:
    """Draw; return the program's JSON: `screens` by their names, `keys` of the texts that were shown."""
    link_bundle(bundle, work / "documents" / "models" / "emoji")
    if other is not None:
        link_bundle(other, work / "documents" / "models" / "emoji-coreml")
    texts = work / "texts.json"
    texts.write_text(json.dumps(read_texts(language)), encoding="utf-8")
    pages = work / "pages.json"
    command = [HERE.parent / "swift.sh", "--run", PROGRAM, work / "documents", texts, HERE / "symbols.json", pages]
    environment = {**os.environ, "LANG": f"{language}.UTF-8", "HOME": str(Path.home()), "TZ": "UTC"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"preview: expected screens, got status {done.returncode}: {done.stderr.strip()[-500:]}")
    collected: dict[str, Any] = json.loads(pages.read_text(encoding="utf-8"))
    return collected


def page_of(screens: dict[str, str], names: tuple[str, ...]) -> str:
    """A page with phones side by side and the caption."""
    phones = "".join(
        f'<div class="phone {"dark" if name.endswith("dark") else "light"}">{STATUS}{screens[name]}'
        '<div class="home"></div></div>'
        for name in names
    )
    style = (HERE / "page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html><meta charset="utf-8"><style>{style}</style><div class="sheet-of-phones">'
        f'<div class="phones">{phones}</div><div class="caption">{escape(CAPTION)}</div></div>'
    )


def photograph(page: Path, picture: Path, phones: int) -> None:
    """A page as a PNG file; 52 levels a colour, grey still grey, make it half as large."""
    width, height = 26 * 2 + phones * 411 + (phones - 1) * 28, 852 + 18 + 26 + 18 + 20 + 20
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [
        f"--window-size={width},{height}",
        "--force-device-scale-factor=1",
        f"--screenshot={picture}",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with Image.open(picture) as image:
        image.convert("RGB").point(lambda level: round(level / 5) * 5).save(picture, optimize=True)


def main() -> None:
    """Write a page and a picture for each sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="an Android bundle, which draws")
    parser.add_argument("--other", type=Path, help="an iOS bundle, which the list of models shows too")
    parser.add_argument("--language", choices=("en", "de"), default="en")
    parser.add_argument("--all", action="store_true", help="also every screen in both appearances")
    parser.add_argument("--out", type=Path, required=True, help="folder of pages and pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out) as work:
        pages = collect(options.bundle, options.other, options.language, Path(work))
    screens: dict[str, str] = pages["screens"]
    sheets = dict(SHEETS)
    if options.all:
        names = sorted({name.rpartition("-")[0] for name in screens})
        sheets |= {name: (f"{name}-light", f"{name}-dark") for name in names}
    for name, shown in sheets.items():
        page = (options.out / f"{name}.html").resolve()
        page.write_text(page_of(screens, shown), encoding="utf-8")
        photograph(page, options.out / f"{name}.png", len(shown))


if __name__ == "__main__":
    main()
