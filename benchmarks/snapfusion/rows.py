"""The milestones of SnapFusion, a table row each: which checkpoint at how many steps, and its ExecuTorch bundle."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.bundle.bundle import Bundle, open_bundle
from export.bundle.manifest_parts import MANIFEST
from export.job.plan import plan_export
from export.job.run import run_export
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Checkpoint, open_source
from mobile_diffusion.config_json import from_dict
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.schedule import step_table

LOGGER = logging.getLogger(__name__)
ROWS = Path(__file__).with_name("rows.toml")
RUNTIME = "xnnpack"


@dataclass(frozen=True)
class RowPlan:
    """What a row is made of."""

    title: str
    checkpoint: str
    steps: int
    guidance: float | None = None
    """The checkpoint's own by default."""
    spacing: str | None = None
    """Of the steps; the checkpoint's own by default."""

    def open(self) -> Checkpoint:
        """The checkpoint at the row's steps, spacing and guidance."""
        return open_source(self.checkpoint, OpenOptions(steps=self.steps, guidance=self.guidance, spacing=self.spacing))


@dataclass(frozen=True)
class Plans:
    """All rows by name, and the settings of the training that the prompts are chosen by."""

    training: Path
    rows: dict[str, RowPlan]

    def choose(self, names: Sequence[str] | None) -> dict[str, RowPlan]:
        """The rows of some names, all for none; raises ConfigError for an unknown one."""
        for name in names or ():
            if name not in self.rows:
                raise ConfigError(f"--row: expected one of {', '.join(self.rows)}, got {name!r}")
        return {name: self.rows[name] for name in names or self.rows}


def read_rows(path: Path) -> Plans:
    """The rows in a TOML file: `training`, and a table per row; raises ConfigError naming file and row."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        training = Path(values.pop("training"))
        return Plans(training, {name: from_dict(RowPlan, each) for name, each in values.items()})
    except (OSError, KeyError, tomllib.TOMLDecodeError, TypeError, ConfigError) as error:
        raise ConfigError(f"{path}: expected `training` and a table for each row, got {error}; fix the file") from None


def bundle_of(name: str, plan: RowPlan, work: Path, threads: int) -> Bundle:
    """The row's bundle in the work folder, exported where there is none of this checkpoint, steps and guidance.

    One step and one decoding are compared with PyTorch; 50 steps would take longer than all else.
    """
    source, out = plan.open(), work / name
    if (out / MANIFEST).is_file():
        bundle = open_bundle(out)
        if _describes(bundle, source):
            return bundle
    LOGGER.info("exporting %s", out)
    work.mkdir(parents=True, exist_ok=True)
    target = TARGETS["android"]
    chosen = plan_export(source.config, target, (RUNTIME,), depth="step", threads=threads)
    return run_export(source, target, out, force=out.exists(), plan=chosen).bundle


def _describes(bundle: Bundle, source: Checkpoint) -> bool:
    """Whether a bundle is of this checkpoint and schedule."""
    made, schedule = bundle.manifest.schedule, source.config.schedule
    found = (bundle.manifest.model.source_sha256, made.timesteps, made.guidance_default, made.guidance_kind)
    return found == (source.source_hash, step_table(schedule).timesteps, schedule.guidance, schedule.applied_guidance)
