"""`mobile-diffusion verify`: is a bundle whole, and does it still compute what PyTorch computed?"""

from __future__ import annotations

from typing import Annotated

import typer

from export.cli.display import progress_bar, verdict
from export.cli.parameters import DEFAULT_THREADS, BundleFolder, Threads
from mobile_diffusion.cli.opening import Opening
from mobile_diffusion.cli.terminal import Json, show


def verify(
    bundle: BundleFolder,
    opening: Opening,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Also run PyTorch again: the exported checkpoint, opened with the options of the export."),
    ] = None,
    threads: Threads = DEFAULT_THREADS,
    json: Json = False,
) -> None:
    """Check every file of a bundle, and compare its programs with PyTorch.

    Checks the manifest and every hash; reads schedule, shapes and precision from the programs; encodes the golden
    prompts again; runs the programs on the golden vectors; and recomputes parity.json, report.html and preview.json.
    The exit status is 0 if everything passed, else 2.

    Example:

        mobile-diffusion verify build/ios
    """
    from export.evidence.difference import difference_table
    from export.parity.report import parity_table
    from export.verify import unverified_runtimes, verify_bundle

    with progress_bar() as progress:
        found = verify_bundle(bundle, checkpoint, opening.options(), threads, progress)
    others = unverified_runtimes(bundle)
    figures = {"bundle": bundle, "not_run": others, **found.to_json()}
    tables = [difference_table(found.differences)] if found.differences else []
    tables += [parity_table(found.parity)] if found.parity.precisions else []
    end = f"{bundle}: every file as the manifest says, {verdict(list(found.parity.precisions), others)}"
    unchecked = f"not checked: {'; '.join(found.unchecked)}"
    fix = "" if checkpoint else "; --checkpoint checks all but the times"
    show(json, figures, *tables, f"{unchecked}{fix}", *([end] if found.passed else []))
    found.require()
