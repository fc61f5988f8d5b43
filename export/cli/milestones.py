"""`mobile-diffusion stages`: what every stage from the wide teacher to the slim student cost and brought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import results as console


def stages(
    results: Annotated[Path, typer.Argument(help="Results of benchmarks/snapfusion/milestones.py.")] = Path(
        "benchmarks/results/snapfusion.json"
    ),
    student: Annotated[str, typer.Option(help="Row that has to reach the figures.")] = "student-8",
    teacher: Annotated[str, typer.Option(help="Row that it is held against.")] = "teacher-50",
    undistilled: Annotated[str, typer.Option(help="Row of the teacher in as few steps.")] = "teacher-8",
) -> None:
    """Print the table of SnapFusion's stages from committed results, and whether the student reached its figures.

    A figure is the student's over the teacher's on the same prompts and seeds, with its 95 % paired bootstrap interval;
    "reached" goes by the figure itself.

    Example:

        mobile-diffusion stages benchmarks/results/snapfusion.json --student phone
    """
    from export.studies.snapfusion.gates import Models, gates
    from export.studies.snapfusion.milestones import read_results
    from export.studies.snapfusion.screen import stages_screen

    found = read_results(results)
    models = Models(student=student, teacher=teacher, undistilled=undistilled)
    console().print(stages_screen(found, gates(found, models)))
