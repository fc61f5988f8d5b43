"""`mobile-diffusion doctor`: can this computer export, and what would fix what it lacks?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobile_diffusion.cli.terminal import Json, show


def doctor(
    out: Annotated[Path, typer.Option(help="Folder in which bundles are to be written: its disk is measured.")] = Path(
        "build"
    ),
    json: Json = False,
) -> None:
    """Examine this computer: Python, packages and their versions, free memory and disk, phones and their tools.

    Each line that is not "ok" ends with its fix. "optional" lines matter to some commands only. The exit status is 2
    if an export would fail, else 0.

    Example:

        mobile-diffusion doctor
    """
    from export.doctor.examine import doctor_table, examine, problems
    from mobile_diffusion.errors import ExportError

    findings = examine(out)
    wrong = problems(findings)
    show(json, {"ready": not wrong, "findings": findings}, doctor_table(findings), *([] if wrong else ["ready"]))
    if wrong:
        fixes = "; ".join(each.fix for each in findings if each.name in wrong)
        raise ExportError(f"expected a computer that can export, got problems with {', '.join(wrong)}: {fixes}")
