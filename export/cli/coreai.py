"""`mobile-diffusion coreai ...`: work on saved Core AI programs."""

from __future__ import annotations

from export.cli.coreai_faults import faults
from mobile_diffusion.cli.command_group import CommandGroup

app = CommandGroup(help="Work on saved Core AI programs, with Apple's runtime.")
app.command()(faults)
