"""`mobile-diffusion milestones`: the cost and the quality of every model from the wide teacher to the slim student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobile_diffusion.cli.terminal import Json, show


def milestones(
    results: Annotated[Path, typer.Argument(help="JSON that benchmarks/snapfusion/milestones.py wrote.")],
    student: Annotated[str, typer.Option(help="Row that must reach the targets.")] = "student-8",
    teacher: Annotated[str, typer.Option(help="Row that the student is compared with.")] = "teacher-50",
    undistilled: Annotated[
        str, typer.Option(help="Row of the teacher with the student's number of steps.")
    ] = "teacher-8",
    json: Json = False,
) -> None:
    """Print the table of SnapFusion's method, and whether the student reached its targets.

    Each ratio compares the student with the teacher on the same prompts and seeds, with its 95 % paired bootstrap
    interval. Whether a target is reached depends on the ratio itself.

    Example:

        mobile-diffusion milestones snapfusion.json --student phone
    """
    from export.studies.snapfusion.gates import Models, gates
    from export.studies.snapfusion.milestones import read_results
    from export.studies.snapfusion.screen import milestones_figures, milestones_screen

    found = read_results(results)
    checked = gates(found, Models(student=student, teacher=teacher, undistilled=undistilled))
    show(json, milestones_figures(found, checked), milestones_screen(found, checked))
