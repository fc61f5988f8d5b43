"""Charts: the same figures give the same bytes, whatever a user's settings of matplotlib are."""

from __future__ import annotations

import math

import matplotlib
import pytest

from export.report.charts import Line, Span, lines, ranges, ratios, spans

DRAWN = {
    "lines": lambda: lines("a title", (Line("one", (1, 2, 3), (60.0, 50.0, 70.0)),), "step", "dB", ("limit", 40.0)),
    "ranges": lambda: ranges("a title", (1.0, 70000.0, None, 0.0)),
    "ratios": lambda: ratios("a title", (70.0, 300.0, None, 60.0)),
    "spans": lambda: spans("a title", (Span("a <b>", "g", 1.0, 2.0, 4.0), Span("c", "h", 2.0, 2.0, 2.0)), "ms"),
}
kinds = pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)


@kinds
def test_bytes_do_not_change(draw, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    before = draw()
    for each in (lines, ranges, ratios, spans):
        each.cache_clear()
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30)
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9)
    assert draw() == before
    assert matplotlib.rcParams["font.size"] == 30


@kinds
def test_one_line_of_svg_with_a_title_and_no_colour_of_its_own(draw) -> None:  # type: ignore[no-untyped-def]
    svg = draw()
    assert svg.startswith('<svg class="chart" viewBox=') and svg.endswith("</svg>") and "\n" not in svg
    assert 'aria-label="a title"' in svg and "var(--series-0)" in svg
    assert not {word for word in ("#0", "#1", "font-family", "<style", "<metadata") if word in svg.replace('"#', "")}


def test_text_is_escaped() -> None:
    assert "a &lt;b&gt;" in DRAWN["spans"]()
    assert 'aria-label="&lt;&quot;&gt;"' in lines('<">', (Line("x", (1, 2), (1.0, 2.0)),), "x", "y")


def test_figures_stand_at_their_heights() -> None:
    """Twice the distance below the top is twice the drop: the points' places are linear in the values."""
    import re

    svg = lines("t", (Line("x", (1, 2, 3), (10.0, 20.0, 40.0)),), "x", "y")
    heights = [
        float(each)
        for each in re.findall(
            r'<use (?:xlink:)?href="#m\w+" x="[\d.]+" y="([\d.]+)" style="fill: var\(--series-0\)', svg
        )
    ]
    assert len(heights) >= 3
    one, two, three = heights[:3]
    assert math.isclose((one - two) * 2, two - three, rel_tol=1e-3)
