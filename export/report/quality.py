"""The figures of an evaluation as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from mobile_diffusion.quality.bootstrap import Interval
from mobile_diffusion.quality.evaluation import Evaluation, SetReport
from mobile_diffusion.quality.retrieval import RetrievalScore

COLUMNS = ("pictures", "KID x 1000", "R@1 %", "R@5 %", "median rank", "cosine")


def quality_screen(evaluation: Evaluation, conditions: Mapping[str, Any]) -> RenderableType:
    """A table with a row per set and one for its real pictures; then a line for diversity and one for the decoder."""
    return Group(_sets(evaluation, conditions), *_lines(evaluation))


def _sets(evaluation: Evaluation, conditions: Mapping[str, Any]) -> Table:
    guidance, steps = f"{conditions['guidance']:g}", conditions["steps"]
    title = f"{conditions['model']} by {conditions['drawn_by']}, {steps} steps, guidance {guidance}"
    table = Table("", title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for report in evaluation.sets:
        quality = report.quality
        table.add_row(report.name, str(quality.pictures), shown(quality.kid, 1000, 1), *_retrieval(quality.retrieval))
        table.add_row("  real pictures", str(quality.pictures), "", *_retrieval(report.real), style="dim")
    table.caption = _caption(evaluation.sets)
    table.caption_justify = "left"
    return table


def _retrieval(score: RetrievalScore) -> tuple[str, ...]:
    recall = shown(score.recall_1, 100, 0), shown(score.recall_5, 100, 0)
    return *recall, f"{median(score.ranks):g}", shown(score.cosine, 1, 3)


def _caption(sets: tuple[SetReport, ...]) -> str:
    first = sets[0].quality
    meanings = "; ".join(f"{report.name}: {report.meaning}" for report in sets)
    references = ", ".join(str(report.quality.references) for report in sets)
    return (
        f"{meanings}. KID against {references} real pictures; R@k among {first.retrieval.candidates} captions. "
        "Brackets: 95 % bootstrap intervals."
    )


def _lines(evaluation: Evaluation) -> list[str]:
    spread, decoder = evaluation.diversity, evaluation.decoder
    lines = [
        f"diversity of {spread.seeds} seeds, {spread.prompts} training captions: {shown(spread.within, 1, 3)}; "
        f"between prompts {spread.across:.3f} (1 - cosine of Inception features)"
    ]
    if decoder is not None:
        lines.append(
            f"autoencoder, {decoder.pictures} held-out pictures: PSNR {shown(decoder.psnr_db, 1, 2)} dB, "
            f"LPIPS {shown(decoder.lpips, 1, 4)}"
        )
    return lines


def shown(interval: Interval, scale: float, digits: int) -> str:
    """A figure with its interval, scaled and rounded.

    >>> shown(Interval(0.5, 0.25, 0.75), 100, 0)
    '50 [25, 75]'
    """
    value, low, high = (f"{scale * number:.{digits}f}" for number in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"
