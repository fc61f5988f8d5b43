"""`mobile-diffusion coreml ...`: saved Core ML packages, looked at, cut, joined, compressed, measured."""

from __future__ import annotations

from collections.abc import Callable

import typer

from export.cli.coreml_chunk import chunk
from export.cli.coreml_combine import combine
from export.cli.coreml_compress import compress, plan
from export.cli.coreml_faults import faults
from export.cli.coreml_measure import measure
from export.cli.coreml_report import report
from export.cli.coreml_statistics import statistics
from export.cli.coreml_table import table

app = typer.Typer(help="Work on saved Core ML packages, on any system.", no_args_is_help=True)
COMMANDS: tuple[Callable[..., None], ...] = (chunk, combine, compress, faults, measure, plan, report, statistics, table)
for command in COMMANDS:
    app.command()(command)
