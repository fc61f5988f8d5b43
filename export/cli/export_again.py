"""`mobile-diffusion verify --again`: exports the checkpoint once more, as the bundle's manifest says, and compares."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mobile_diffusion.cli.opening import Opening
from mobile_diffusion.errors import ConfigError, ExportError

if TYPE_CHECKING:
    from export.evidence.difference import Difference

IN_MANIFEST = (
    "size",
    "steps",
    "solver",
    "spacing",
    "guidance",
    "guidance_interval",
    "guidance_shares",
    "windows",
    "tile",
)
"""Fields of `Opening` that the manifest knows."""


def export_again(path: Path, checkpoint: str, opening: Opening, threads: int) -> list[Difference]:
    """Export in another process, into a folder that is removed; return the files of programs that differ.

    Raises `ConfigError` if the manifest does not hold all that decides what is in the programs, `ExportError` if the
    export fails or if the tools have other versions than those that made the bundle.
    """
    from export.bundle.bundle import open_bundle
    from export.evidence.again import check_again, other_versions
    from export.job.command import NOT_IN_MANIFEST, options

    bundle = open_bundle(path, verify=False)
    words = [each for each in options(bundle.manifest, "step") if each not in NOT_IN_MANIFEST]
    if any(entry.compression.startswith("mixed-") for entry in bundle.manifest.runtimes):
        raise ConfigError("--again: expected a compression that has a name, got a plan; export it again with the plan")
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        out = Path(folder) / "again"
        given = ("export", bundle.manifest.target, checkpoint, *words, *words_of(opening))
        places = ("--out", str(out), "--threads", str(threads))
        done = subprocess.run((sys.executable, "-m", "export.cli.main", *given, *places), stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            raise ExportError(f"--again: expected an export, got status {done.returncode}; its error is above")
        again = open_bundle(out)
        if versions := other_versions(bundle, again):
            raise ExportError(f"--again: expected the tools of {path}, got {versions}; install those versions")
        return check_again(bundle, again)


def words_of(opening: Opening) -> Iterator[str]:
    """Options that are not in a manifest, such as a LoRA, as words of a command."""
    for each in dataclasses.fields(opening):
        value = getattr(opening, each.name)
        if each.name not in IN_MANIFEST and value not in (None, 0, []):
            for one in value if isinstance(value, list) else [value]:
                yield from (f"--{each.name.replace('_', '-')}", str(one))
