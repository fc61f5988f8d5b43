"""The parameters that several commands have, each stated once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobile_diffusion.waiting import usable_cores

BundleFolder = Annotated[Path, typer.Argument(help="Bundle folder, written by `mobile-diffusion export`.")]
Threads = Annotated[int, typer.Option(min=1, max=256, help="Threads of every runtime, PyTorch included.")]
DEFAULT_THREADS = min(2, usable_cores())
"""As many as the fast cores of most phones; fewer where this process may use fewer cores."""
