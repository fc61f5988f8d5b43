"""The parameters that several commands have, each stated once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleFolder = Annotated[Path, typer.Argument(help="Bundle folder, written by `mobile-diffusion export`.")]
Threads = Annotated[int, typer.Option(min=1, max=256, help="Threads of every runtime, PyTorch included.")]
