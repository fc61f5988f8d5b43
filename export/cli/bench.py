"""`python -m export bench`: how long the programs of a bundle take on this computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results
from export.cli.export import Threads


def bench(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    threads: Threads = 2,
    json_only: Annotated[bool, typer.Option("--json", help="Print latency.json instead of the table.")] = False,
) -> None:
    """Time every stage of every runtime, warmed up: median and interquartile range, on this computer.

    Example:

        python -m export bench build/android
    """
    import json

    from export.bundle.bundle import open_bundle
    from export.latency.measure import measure_latency
    from export.report.latency import latency_table
    from export.targets import open_runner
    from export.verify import read_trajectories
    from mobile_diffusion.errors import ConfigError

    with progress_bar() as progress:
        progress(f"checking the files of {bundle}", 0.0)
        opened = open_bundle(bundle)
        trajectory = read_trajectories(opened)[0]
        entries = [entry for entry in opened.manifest.runtimes if entry.verified]
        if not entries:
            names = ", ".join(entry.name for entry in opened.manifest.runtimes)
            raise ConfigError(f"{bundle}: expected a runtime that can run on this computer, got {names} alone")
        progress("timing", 0.1)
        runners = [open_runner(opened, entry.name, threads)[1] for entry in entries]
        report = measure_latency(runners, trajectory, opened.settings())
        progress("timed", 1.0)
    if json_only:
        typer.echo(json.dumps(report.to_dict(), indent=1))
    else:
        results().print(latency_table(report, opened.settings().steps))
