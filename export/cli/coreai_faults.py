"""`mobile-diffusion coreai faults`: the first module of a Core AI program that departs from PyTorch."""

from __future__ import annotations

from typing import Annotated

import typer

from export.cli.display import progress_bar
from export.cli.parameters import BundleFolder
from export.coreai.sums import Sums
from mobile_diffusion.cli.opening import Opening
from mobile_diffusion.cli.terminal import Json, show

BROKEN = 2
"""Exit status when a module departs."""


def faults(
    bundle: BundleFolder,
    opening: Opening,
    checkpoint: Annotated[
        str | None, typer.Option(help="The exported checkpoint, opened with the options of the export.")
    ] = None,
    bound: Annotated[float, typer.Option(help="SNR in dB below which a module departs from PyTorch.")] = 40.0,
    sums: Annotated[
        Sums,
        typer.Option(help="How products of half matrices are added up: float32, or as-stored, which takes minutes."),
    ] = Sums.FLOAT32,
    modules: Annotated[bool, typer.Option("--modules", help="Also show the table of all modules.")] = False,
    json: Json = False,
) -> None:
    """Name the first module of each Core AI program whose output departs from PyTorch's module of that name.

    Apple's runtime runs the programs on the bundle's first golden case and logs the values inside. The exit status is
    2 if a module departs.

    Example:

        mobile-diffusion coreai faults build/ios
    """
    from export.studies.coreai_faults import inside_with
    from export.studies.departures import find_departures
    from export.studies.departures_screen import departures_screen
    from mobile_diffusion.checkpoint import open_checkpoint
    from mobile_diffusion.cli.opening import checkpoint_or_emoji

    with progress_bar() as progress:
        model = open_checkpoint(checkpoint_or_emoji(checkpoint), opening.options())
        found = find_departures(bundle, "coreai", model, bound, inside_with(sums), progress)
    show(json, {"stages": [each.to_dict() for each in found]}, *departures_screen(found, modules))
    if any(each.first is not None for each in found):
        raise typer.Exit(BROKEN)
