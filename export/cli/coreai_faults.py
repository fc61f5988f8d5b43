"""`mobile-diffusion coreai faults`: the first module of a Core AI program that departs from PyTorch."""

from __future__ import annotations

from typing import Annotated

import typer

from export.cli.departures import Bound, Exported, Modules, end
from export.cli.display import progress_bar
from export.cli.parameters import BundleFolder
from export.coreai.sums import Sums
from mobile_diffusion.cli.opening import Opening
from mobile_diffusion.cli.terminal import Json


def faults(
    bundle: BundleFolder,
    opening: Opening,
    checkpoint: Exported = None,
    bound: Bound = 40.0,
    sums: Annotated[
        Sums,
        typer.Option(help="How products of half matrices are added up: float32, or as-stored, which takes minutes."),
    ] = Sums.FLOAT32,
    modules: Modules = False,
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
    from mobile_diffusion.checkpoint import open_checkpoint
    from mobile_diffusion.cli.opening import checkpoint_or_emoji

    with progress_bar() as progress:
        model = open_checkpoint(checkpoint_or_emoji(checkpoint), opening.options())
        found = find_departures(bundle, "coreai", model, bound, inside_with(sums), progress)
    end(found, modules, json)
