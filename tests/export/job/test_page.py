"""report.html: complete, self-contained, and readable on a phone and a desk, by day and by night."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.documents.browser import CHROMIUM, found_by, screenshot
from export.job.run import Exported

Exports = Mapping[str, Exported]
PHONE, DESK = (390, 1400), (1100, 1400)
PAPER = {"light": (246, 245, 242), "dark": (19, 20, 22)}
"""--paper of template.css."""
SECTIONS = ("open", "pictures", "steps", "parity", "layers", "programs", "latency", "schedule", "origin")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
targets = pytest.mark.parametrize("target", ["ios", "android"])


def page_of(exports: Exports, target: str) -> Path:
    return exports[target].bundle.path / "report.html"


@targets
def test_every_section_is_there_and_what_was_not_verified_comes_first(exported: Exports, target: str) -> None:
    text = page_of(exported, target).read_text(encoding="utf-8")
    assert tuple(re.findall(r'<section id="(\w+)"', text)) == SECTIONS
    assert set(re.findall(r'<a href="#(\w+)"', text)) == set(SECTIONS)
    for runtime in exported[target].plan.runtimes:
        assert runtime.unverified in text[: text.index('id="pictures"')].replace("&#39;", "'")


@targets
def test_every_runtime_has_its_pictures_curves_and_times(exported: Exports, target: str) -> None:
    text = page_of(exported, target).read_text(encoding="utf-8")
    plan, cases = exported[target].plan, 4
    assert text.count("data:image/png") == cases * (1 + 2 * len(plan.compared))
    charts = re.findall(r'<svg class="chart" [^>]*aria-label="([^"]*)"', text)
    for runtime in plan.compared:
        assert f"{runtime.title}: signal-to-noise ratio by step" in charts
    for stage in ("encode text", "denoise", "decode image"):
        assert f"{stage}: largest magnitude of every layer" in charts
        assert f"{stage}: median time and quartiles" in charts
    assert "Alpha and sigma in front of every step" in charts
    assert exported[target].bundle.manifest.model.source_sha256 in text


@targets
def test_the_page_names_no_address_but_its_own_parts(exported: Exports, target: str) -> None:
    text = page_of(exported, target).read_text(encoding="utf-8")
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", text)
    assert addresses and all(each.startswith(("data:image/png;base64,", "#")) for each in addresses)


@needs_chromium
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_wider_than_the_window(exported: Exports, size: tuple[int, int], tmp_path: Path) -> None:
    page = page_of(exported, "android")
    assert int(found_by("document.documentElement.scrollWidth", page, tmp_path, size)) == size[0]
    empty = "[...document.images].filter(each => !each.naturalWidth).length"
    assert found_by(empty, page, tmp_path, size) == "0"
    smallest = "Math.min(...[...document.querySelectorAll('.chart text')].map(e => e.getBoundingClientRect().height))"
    assert float(found_by(smallest, page, tmp_path, size)) >= 8  # pixels: a label can be read


@needs_chromium
@pytest.mark.parametrize("theme", PAPER)
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_it_has_the_colours_of_day_and_night(
    exported: Exports, size: tuple[int, int], theme: str, tmp_path: Path
) -> None:
    shot = screenshot(page_of(exported, "ios"), tmp_path / "page.png", size, theme)
    assert shot.size == size
    pixels = np.asarray(shot).reshape(-1, 3)
    assert tuple(pixels[0]) == PAPER[theme]
    light = (pixels.mean(axis=1) > 128).mean()
    assert light > 0.8 if theme == "light" else light < 0.35
    assert len(np.unique(pixels, axis=0)) > 200  # pictures are drawn


@needs_chromium
@pytest.mark.parametrize("theme", PAPER)
def test_charts_take_the_page_s_colours(exported: Exports, theme: str, tmp_path: Path) -> None:
    """The accent of the first series is in the picture of a page with nothing but the charts."""
    text = page_of(exported, "ios").read_text(encoding="utf-8")
    charts = "".join(re.findall(r"<svg .*?</svg>", text)[:2])
    page = tmp_path / "charts.html"
    page.write_text(text[: text.index("<body>")] + f"<body>{charts}</body></html>", encoding="utf-8")
    pixels = np.asarray(screenshot(page, tmp_path / "charts.png", PHONE, theme)).astype(int)
    first = {"light": (11, 122, 117), "dark": (76, 195, 188)}[theme]
    assert (np.abs(pixels - first).sum(axis=2) < 12).sum() > 100
    assert "#0" not in charts  # no marker colour is left
