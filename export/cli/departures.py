"""The options and the end of the commands that name the module in which a program departs from PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mobile_diffusion.cli.terminal import show

if TYPE_CHECKING:
    from export.studies.departures import StageDepartures

BROKEN = 2
"""Exit status when a module departs."""
Exported = Annotated[str | None, typer.Option(help="The exported checkpoint, opened with the options of the export.")]
Bound = Annotated[float, typer.Option(help="SNR in dB below which a module departs from PyTorch.")]
Modules = Annotated[bool, typer.Option("--modules", help="Also show the table of all modules.")]


def end(found: Sequence[StageDepartures], modules: bool, json: bool) -> None:
    """Show what was found; raises `typer.Exit` with status BROKEN if a module departs."""
    from export.studies.departures_screen import departures_screen

    show(json, {"stages": [each.to_dict() for each in found]}, *departures_screen(found, modules))
    if any(each.first is not None for each in found):
        raise typer.Exit(BROKEN)
