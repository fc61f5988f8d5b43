"""`mobile-diffusion onnx ...`: work on saved ONNX models."""

from __future__ import annotations

from export.cli.onnx_faults import faults
from mobile_diffusion.cli.command_group import CommandGroup

app = CommandGroup(help="Work on saved ONNX models, with ONNX Runtime.")
app.command()(faults)
