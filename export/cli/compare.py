"""`mobile-diffusion compare`: what changed from one bundle to another?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobile_diffusion.cli.terminal import Json, show


def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="Bundle folder to start from.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Bundle folder that is compared with it.")],
    json: Json = False,
) -> None:
    """Show what changed from bundle A to bundle B: description, weights, sizes, parity, latency.

    Every file of both is checked first. "weights" are programs whose bytes differ. Latency is a ratio to PyTorch on
    the machine of the export. The exit status is 0 whether they differ or not.

    Example:

        mobile-diffusion compare build/android build/android-int8
    """
    from export.bundle.bundle import open_bundle
    from export.comparison.compare import changes_table, compare_bundles

    changes = compare_bundles(open_bundle(before), open_bundle(after))
    figures = {"schema_version": 1, "a": before, "b": after, "changes": changes}
    end = f"{before} and {after}: {len(changes) or 'no'} changes"
    show(json, figures, *([changes_table(changes, before, after)] if changes else []), end)
