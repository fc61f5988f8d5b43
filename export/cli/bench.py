"""`mobile-diffusion bench`: how long the programs of a bundle take on this computer."""

from __future__ import annotations

from export.cli.display import progress_bar
from export.cli.parameters import DEFAULT_THREADS, BundleFolder, Threads
from mobile_diffusion.cli.terminal import Json, show


def bench(bundle: BundleFolder, threads: Threads = DEFAULT_THREADS, json: Json = False) -> None:
    """Time every stage on every runtime of a bundle, on this computer.

    Prints the median and the interquartile range after a warm-up.

    Example:

        mobile-diffusion bench build/android
    """
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
            raise ConfigError(f"{bundle}: expected a runtime that can run on this computer, got only {names}")
        progress("timing", 0.1)
        runners = [open_runner(opened, entry.name, threads)[1] for entry in entries]
        report = measure_latency(runners, trajectory, opened.settings())
        progress("timed", 1.0)
    show(json, report.to_dict(), latency_table(report, opened.settings().calls))
