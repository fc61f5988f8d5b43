"""`mobile-diffusion export blocks`: how long each block of a U-Net takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar
from export.cli.parameters import DEFAULT_THREADS, Threads
from mobile_diffusion.cli.opening import Checkpoint, checkpoint_or_emoji
from mobile_diffusion.cli.terminal import results


def blocks(
    checkpoint: Checkpoint = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON to write.")] = Path("blocks.json"),
    threads: Threads = DEFAULT_THREADS,
) -> None:
    """Time every block of a U-Net on ExecuTorch, for `mobile-diffusion train evolve`.

    The times are of this computer.

    Example:

        mobile-diffusion export blocks --out blocks.json
    """
    from export.studies.block_latency import measure_blocks, write_table
    from mobile_diffusion.checkpoint import open_source

    with progress_bar() as progress:
        table = measure_blocks(open_source(checkpoint_or_emoji(checkpoint)).config, threads, progress=progress)
        write_table(table, out)
        progress("done", 1.0)
    results().print(f"{out}: {len(table.blocks)} blocks; the whole U-Net takes {table.total_ms:.1f} ms", soft_wrap=True)
