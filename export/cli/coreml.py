"""`mobile-diffusion coreml ...`: inspect, split, join, compress and measure saved Core ML packages."""

from __future__ import annotations

from collections.abc import Callable

from export.cli.coreml_chunk import chunk
from export.cli.coreml_combine import combine
from export.cli.coreml_compress import compress
from export.cli.coreml_faults import faults
from export.cli.coreml_measure import measure
from export.cli.coreml_plan import plan
from export.cli.coreml_report import report
from export.cli.coreml_statistics import statistics
from export.cli.coreml_table import table
from mobile_diffusion.cli.command_group import CommandGroup

app = CommandGroup(help="Work on saved Core ML packages, on any system.")
COMMANDS: tuple[Callable[..., None], ...] = (chunk, combine, compress, faults, measure, plan, report, statistics, table)
for command in COMMANDS:
    app.command()(command)
