"""Chromium with the page of `mobile-diffusion serve`: what tests and pictures of documents do to it and find.

`make -C apps/web` builds the driver; its protocol is in apps/web/tests/browser.ts.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.documents.browser import CHROMIUM
from export.bundle.bundle import open_bundle
from export.serving.address import Place
from export.serving.archive import write_archive
from export.serving.content import content_of
from export.serving.server import FileServer

DRIVER = Path(__file__).parents[2] / "apps" / "web" / "build" / "js" / "tests" / "browser.js"
READY = "document.body.dataset.state === 'ready'"
DONE = f"{READY} && !document.getElementById('save').disabled || !document.getElementById('problem').hidden"
CHECKED = f"{READY} && !document.getElementById('verdict').hidden"
PIXELS = "[...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"


@dataclass(frozen=True)
class Found:
    """What a visit gave."""

    values: list[Any]
    complaints: list[str]
    """What the page wrote on its console."""


@contextmanager
def served(bundle: Path, folder: Path) -> Iterator[str]:
    """Serve a bundle on a free port; yields the address of its page."""
    opened = open_bundle(bundle)
    write_archive(opened, folder / "bundle.zip")
    with FileServer(Place("127.0.0.1", 0, ""), content_of(opened, folder / "bundle.zip")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.place.address
        finally:
            server.shutdown()
            thread.join()


def visit(
    url: str, actions: Sequence[Sequence[object]], size: tuple[int, int] = (1100, 900), theme: str = "light"
) -> Found:
    """Do `actions` with a page, once it is ready."""
    order = {"chromium": CHROMIUM, "url": url, "width": size[0], "height": size[1], "theme": theme}
    steps = [["wait", READY], *([str(word) for word in action] for action in actions)]
    done = subprocess.run(
        ["node", DRIVER], input=json.dumps(order | {"actions": steps}), capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Found(**json.loads(done.stdout))


def pixels_of(values: Sequence[int]) -> np.ndarray:
    """The picture (H, W, 3) of a square canvas."""
    side = int((len(values) / 4) ** 0.5)
    pixels = np.array(values, np.uint8).reshape(side, side, 4)
    assert (pixels[..., 3] == 255).all()
    return pixels[..., :3]
