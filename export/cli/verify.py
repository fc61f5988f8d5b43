"""`mobile-diffusion verify`: is a bundle whole, and does it still compute what PyTorch computed?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.cli.display import progress_bar, verdict
from export.cli.export_again import export_again
from export.cli.parameters import DEFAULT_THREADS, BundleFolder, Threads
from mobile_diffusion.cli.opening import Opening
from mobile_diffusion.cli.terminal import Json, messages, show
from mobile_diffusion.errors import ConfigError

if TYPE_CHECKING:
    from export.comparison.baseline import Regression
    from export.comparison.summary import Summary
    from export.studies.where import Place
    from export.verify import Verification


@dataclass(frozen=True)
class Baselines:
    """Files for a build server."""

    baseline: Annotated[
        Path | None, typer.Option(help="Fail if parity, size or the ratio of latency to PyTorch is worse than in it.")
    ] = None
    write_baseline: Annotated[
        Path | None, typer.Option(help="Write the figures of this bundle to a file, if everything passed.")
    ] = None
    junit: Annotated[Path | None, typer.Option(help="Write the result as a JUnit file, also if something failed.")] = (
        None
    )

    def read(self) -> Summary | None:
        """The baseline; raises `BundleError` if it cannot be read."""
        from export.comparison.summary import read_summary

        return None if self.baseline is None else read_summary(self.baseline)


def verify(
    bundle: BundleFolder,
    opening: Opening,
    baselines: Baselines,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Also run PyTorch again: the exported checkpoint, opened with the options of the export."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Also export the --checkpoint again, and compare every byte of the programs."),
    ] = False,
    reproduction: Annotated[
        Path | None,
        typer.Option(help="If a gate fails: a script that shows one wrong number of the layer that departs."),
    ] = None,
    threads: Threads = DEFAULT_THREADS,
    json: Json = False,
) -> None:
    """Check every file of a bundle, and compare its programs with PyTorch.

    Checks the manifest and every hash; reads schedule, shapes and precision from the programs; encodes the golden
    prompts again; runs the programs on the golden vectors; and recomputes parity.json, report.html and preview.json.
    With --checkpoint, a failed gate also names the first module that leaves PyTorch, of XNNPACK the first constant that
    is not the checkpoint's. The exit status is 0 if everything passed, else 2.

    Example:

        mobile-diffusion verify build/ios
    """
    from export.bundle.bundle import open_bundle
    from export.comparison.baseline import regressions, require_none
    from export.comparison.junit import write_junit
    from export.comparison.summary import summarise_bundle, write_summary
    from export.verify import unverified_runtimes, verify_bundle

    if reproduction is not None and checkpoint is None:
        raise ConfigError("--reproduction: expected --checkpoint, got none; give the checkpoint that was exported")
    if again and checkpoint is None:
        raise ConfigError("--again: expected --checkpoint, got none; give the checkpoint that was exported")
    earlier = baselines.read()
    with progress_bar() as progress:
        found = verify_bundle(bundle, checkpoint, opening.options(), threads, progress)
    if again and checkpoint is not None:
        found = replace(found, differences=(*found.differences, *export_again(bundle, checkpoint, opening, threads)))
    summary = summarise_bundle(open_bundle(bundle, verify=False))
    worse = None if earlier is None else regressions(earlier, summary)
    if baselines.junit is not None:
        write_junit(baselines.junit, found, worse)
    places = {} if checkpoint is None or found.parity.passed else _places(bundle, found, checkpoint, opening)
    if reproduction is not None:
        write_reproduction(places, reproduction)
    spelled = {runtime: str(each) for runtime, each in places.items()}
    _show(bundle, found, worse, unverified_runtimes(bundle), json, checkpoint is not None, spelled)
    found.require()
    require_none(worse or (), baselines.baseline)
    if baselines.write_baseline is not None:
        write_summary(baselines.write_baseline, summary)


def _places(bundle: Path, found: Verification, checkpoint: str, opening: Opening) -> dict[str, Place]:
    """Runtime -> where its first failed stage leaves PyTorch, of those that can be looked into."""
    from export.studies.where import where
    from mobile_diffusion.checkpoint import open_source

    with progress_bar() as progress:
        return where(bundle, found.parity, open_source(checkpoint, opening.options()), progress)


def write_reproduction(places: dict[str, Place], path: Path) -> None:
    """Write the script of the first runtime that has one, or say that there is none and why."""
    for runtime, place in places.items():
        if place.reproduction is not None:
            place.reproduction.write(path, runtime)
            return
    reason = "no layer that is a sum of products departs" if places else "no gate failed that can be looked into"
    messages().print(f"--reproduction: {reason}; {path} is not written", soft_wrap=True)


def _show(
    bundle: Path,
    found: Verification,
    worse: list[Regression] | None,
    others: list[str],
    json: bool,
    complete: bool,
    places: dict[str, str],
) -> None:
    from export.evidence.difference import difference_table
    from export.parity.report import parity_table

    figures = {"bundle": bundle, "not_run": others, **found.to_json(), "regressions": worse, "places": places}
    tables = [difference_table(found.differences)] if found.differences else []
    tables += [parity_table(found.parity)] if found.parity.precisions else []
    end = f"{bundle}: every file as the manifest says, {verdict(list(found.parity.precisions), others)}"
    unchecked = f"not checked: {'; '.join(found.unchecked)}"
    fix = "" if complete else "; --checkpoint checks all but the times"
    lines = [f"{runtime} {place}" for runtime, place in places.items()]
    show(json, figures, *tables, f"{unchecked}{fix}", *lines, *([end] if found.passed else []))
