"""Charts as SVG that stands inside a page and takes the page's colours, so that one drawing serves light and dark.

Matplotlib draws with a few marker colours; afterwards each is replaced by a CSS variable of the page's style sheet.
Text stays text, and nothing random or dated is written: the same figures give the same bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mobile_diffusion.decibels import MAX_DB

WIDTH = 5.0
"""Inches of 72 pixels: as wide as a phone's screen, so that text is read at its size there."""
_INK, _GRID, _LIMIT = "#010101", "#020202", "#030303"
_SERIES = ("#040404", "#050505", "#060606", "#070707", "#080808")
_VARIABLES = {_INK: "--soft", _GRID: "--line", _LIMIT: "--bad"} | {
    colour: f"--series-{number}" for number, colour in enumerate(_SERIES)
}
_MARKERS = ("o", "s", "^", "D", "v")
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (8, 3)))
_KEPT = 64
"""Charts that are kept, since an export and its verification draw the same."""
HALF_MAX = 65504.0
"""Largest number of float16."""
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mobile-diffusion",
    "font.size": 10.5,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "text.color": _INK,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]


@dataclass(frozen=True)
class Span:
    """A value with its spread: a bar to `middle` with a whisker from `low` to `high`."""

    label: str
    group: str
    """Bars of one group have one colour."""
    low: float
    middle: float
    high: float


@lru_cache(maxsize=_KEPT)
def lines(
    title: str, found: tuple[Line, ...], x: str, y: str, limit: tuple[str, float] | None = None, whole: bool = True
) -> str:
    """Lines with markers over common axes; `limit` is a labelled level, `whole` keeps the ticks of x at integers."""
    with _drawing(title, 2.9) as (axes, svg):
        for number, line in enumerate(found):
            look = {"color": _SERIES[number % len(_SERIES)], "linestyle": _DASHES[number % len(_DASHES)]}
            axes.plot(line.xs, line.ys, label=line.label, marker=_MARKERS[number % len(_MARKERS)], **look)
        if limit is not None:
            axes.axhline(limit[1], color=_LIMIT, linewidth=1.2, label=limit[0])
        axes.set(xlabel=x, ylabel=y)
        axes.grid(axis="y")
        if whole:
            axes.xaxis.get_major_locator().set_params(integer=True)
        _legend(axes)
    return svg()


@lru_cache(maxsize=_KEPT)
def ranges(title: str, values: tuple[float | None, ...]) -> str:
    """The largest magnitude of every layer in the order of the program, in powers of two; None is beyond float16's."""
    shown = [2 * HALF_MAX if value is None else max(value, 2.0**-7) for value in values]
    with _drawing(title, 2.6) as (axes, svg):
        _stems(axes, shown, 2.0**-8)
        axes.axhline(HALF_MAX, color=_LIMIT, linewidth=1.2, label="largest number of float16, 65504")
        axes.set_yscale("log", base=2)
        axes.set_ylim(2.0**-8, max(2.0**18, 2 * max(shown, default=0.0)))
        axes.set_ylabel("largest magnitude")
        _legend(axes)
    return svg()


@lru_cache(maxsize=_KEPT)
def ratios(title: str, values: tuple[float | None, ...]) -> str:
    """A ratio in dB of every layer in the order of the program; None is drawn at 0 dB, an equal result at the top."""
    known = [value for value in values if value is not None and value < MAX_DB]
    top = max(known, default=0.0) + 5
    bottom = 0.0 if None in values else max(0.0, 10 * (min(known, default=0.0) // 10) - 20)
    with _drawing(title, 2.6) as (axes, svg):
        _stems(axes, [0.0 if value is None else min(value, top) for value in values], top)
        axes.set(ylim=(bottom, top), ylabel="dB")
        axes.grid(axis="y")
    return svg()


def _stems(axes: Any, values: Sequence[float], base: float) -> None:
    places = range(1, len(values) + 1)
    axes.vlines(places, base, values, color=_SERIES[0], linewidth=0.8, alpha=0.6)
    axes.plot(places, values, "o", color=_SERIES[0], markersize=2.5)
    axes.set_xlabel("layer, in the order in which they run")


@lru_cache(maxsize=_KEPT)
def spans(title: str, found: tuple[Span, ...], x: str) -> str:
    """Horizontal bars with whiskers, one per row."""
    groups = list(dict.fromkeys(span.group for span in found))
    with _drawing(title, 0.9 + 0.28 * len(found)) as (axes, svg):
        for row, span in enumerate(found):
            colour = _SERIES[groups.index(span.group) % len(_SERIES)]
            axes.barh(row, span.middle, height=0.62, color=colour)
            axes.hlines(row, span.low, span.high, color=_INK, linewidth=1.4)
            axes.annotate(_number(span.middle), (max(span.high, span.middle), row), (4, 0), **_BESIDE)
        axes.set_yticks(range(len(found)), [span.label for span in found])
        axes.invert_yaxis()
        axes.set_xlabel(x)
        axes.margins(x=0.14)
        axes.set_xlim(left=0)
    return svg()


_BESIDE: Mapping[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 9.5}


def _number(value: float) -> str:
    """Three digits, without an exponent.

    >>> _number(1234.5), _number(0.123456)
    ('1,234', '0.123')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1 or axes.get_lines()[-1].get_color() == _LIMIT:
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9.5, handlelength=2.6)


@contextmanager
def _drawing(title: str, height: float) -> Iterator[tuple[Any, Any]]:
    """Axes to draw on, and a function that returns the SVG once the block has ended."""
    import matplotlib
    from matplotlib.figure import Figure

    made: list[str] = []
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # and not what a user's matplotlibrc says
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        yield axes, lambda: made[0]
        stream = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", metadata=nothing)
    made.append(_themed(stream.getvalue(), title))


def _themed(svg: str, title: str) -> str:
    """The drawing alone as one line, in the page's colours and font, with a title for screen readers."""
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"<defs>\s*<style type=\"text/css\">.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"\s*<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<g id=\"[^\"]*\">", "<g>", body)
    body = re.sub(r" font-family: [^;\"]*;", "", body)
    body = re.sub(r" transform=\"rotate\(-0 [^\"]*\"", "", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    box = re.search(r"viewBox=\"[^\"]*\"", body)
    assert box is not None  # matplotlib always writes one
    head = f'<svg class="chart" {box[0]} role="img" aria-label="{html.escape(title)}">'
    return head + " ".join(body[body.index(">") + 1 :].split())
