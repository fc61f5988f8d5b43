"""`mobile-diffusion coreml report`: what a Mac measured, as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobile_diffusion.cli.terminal import Json, show


def report(
    measured: Annotated[Path, typer.Argument(help="The file that `mobile-diffusion coreml measure` wrote on a Mac.")],
    bundle: Annotated[Path, typer.Argument(help="The bundle that was measured.")],
    json: Json = False,
) -> None:
    """Show what a Mac measured beside what was measured where the bundle was made.

    Example:

        mobile-diffusion coreml report measured.json build/ios
    """
    from export.bundle.bundle import open_bundle
    from export.studies.mac.record import read_measured
    from export.studies.mac.report import check_bundle, parity_table, read_host, times_table

    found, opened = read_measured(measured), open_bundle(bundle)
    check_bundle(found, opened)
    host = read_host(opened)
    show(json, {"measured": found, "host": host}, times_table(found, host), parity_table(found, host))
