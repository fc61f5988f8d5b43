"""Headless Chromium, for tests and pictures of pages: a screenshot, and what a script finds in a laid-out page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from PIL import Image

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
THEMES = {"dark": 0, "light": 1}


def screenshot(page: Path, out: Path, size: tuple[int, int], theme: str) -> Image.Image:
    """The page as a window of `size` shows it, also kept as the PNG `out`."""
    _run(page, out.parent, size, theme, f"--screenshot={out}")
    return Image.open(out).convert("RGB")


def found_by(script: str, page: Path, folder: Path, size: tuple[int, int]) -> str:
    """What the JavaScript expression `script` is worth in the page, laid out in a frame of `size`, as text.

    A frame, because no window of Chromium is narrower than 500 pixels.
    """
    copy, outer = folder / "scripted.html", folder / "outer.html"
    told = f"<script>onload = () => parent.postMessage(String({script}), '*')</script>"
    copy.write_text(page.read_text(encoding="utf-8").replace("</head>", f"{told}</head>"), encoding="utf-8")
    outer.write_text(
        "<script>onmessage = event => document.body.setAttribute('data-found', event.data)</script><body>"
        f'<iframe src="{copy.name}" width="{size[0]}" height="{size[1]}" style="border: 0"></iframe>',
        encoding="utf-8",
    )
    dom = _run(outer, folder, (1400, 1600), "light", "--virtual-time-budget=10000", "--dump-dom")
    match = re.search(r'data-found="([^"]*)"', dom)
    assert match is not None, dom[:300]
    return match[1]


def _run(page: Path, folder: Path, size: tuple[int, int], theme: str, *what: str) -> str:
    if CHROMIUM is None:
        raise SystemExit("expected chromium, got none; apt-get install chromium")
    own = (f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}")
    command = (CHROMIUM, *FLAGS, f"--blink-settings=preferredColorScheme={THEMES[theme]}", *own, *what, page.as_uri())
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=180).stdout
