"""The results of benchmarks/snapfusion/milestones.py as one JSON: a row per model, and interleaved times.

A row keeps what a paired comparison needs: rank and cosine of every prompt, KID of every resample.  Measuring a row
again replaces it; times count for a row only if both are of the same checkpoint and number of steps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from export.latency.measure import Conditions
from mobile_diffusion.config_json import from_dict
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quality.bootstrap import Interval
from mobile_diffusion.quoting import quoted
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.strict_json import parse_json


@dataclass(frozen=True)
class SetFigures:
    """The quality of a row's pictures of one set of prompts."""

    name: str
    prompts_sha256: str
    """Hash of the prompts in order; rows are compared only on equal prompts."""
    references: int
    """Number of real pictures for KID."""
    kid: Interval
    recall_1: Interval
    recall_5: Interval
    cosine: Interval
    real_recall_5: Interval
    """Of the real pictures of the same prompts."""
    ranks: tuple[int, ...]
    cosines: tuple[float, ...]
    kid_resamples: tuple[float | None, ...]


@dataclass(frozen=True)
class Milestone:
    """One model at one number of steps."""

    name: str
    title: str
    checkpoint: str
    source_sha256: str
    steps: int
    guidance: float
    evaluations: int
    """Evaluations of the U-Net per step."""
    unet_parameters: int
    unet_macs: int
    """Multiply-accumulates of one evaluation."""
    decoder_parameters: int
    decoder_macs: int
    artifact_bytes: int
    """Bytes of all programs."""
    drawn_by: str
    count: int
    """Prompts per set."""
    seed: int
    sets: tuple[SetFigures, ...]

    def find(self, name: str) -> SetFigures:
        """The figures of a set; raises ConfigError if it was not measured."""
        for each in self.sets:
            if each.name == name:
                return each
        raise ConfigError(f"row {quoted(self.name)}: expected the set {quoted(name)}, got none; measure it again")


@dataclass(frozen=True)
class RowTimes:
    """Milliseconds of the stages of a row's artifact: one median per round."""

    name: str
    source_sha256: str
    steps: int
    encode_text: tuple[float, ...]
    denoise: tuple[float, ...]
    decode_image: tuple[float, ...]

    @property
    def picture(self) -> tuple[float, ...]:
        """Milliseconds of a picture in each round: the prompt once, every step, the decoder once."""
        rounds = zip(self.encode_text, self.denoise, self.decode_image, strict=True)
        return tuple(text + self.steps * step + decoder for text, step, decoder in rounds)

    @property
    def step_ms(self) -> float:
        """Median time of a step, with both evaluations if guidance takes two."""
        return float(np.median(self.denoise))

    @property
    def picture_ms(self) -> float:
        """Median time of a picture."""
        return float(np.median(self.picture))


@dataclass(frozen=True)
class Timing:
    """Interleaved times of all rows."""

    conditions: Conditions
    runtime: str
    threads: int
    runs: int
    """Runs of each stage per round."""
    rows: tuple[RowTimes, ...]


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    rows: tuple[Milestone, ...] = ()
    timing: Timing | None = None

    def find(self, name: str) -> Milestone | None:
        """A row by its name."""
        return next((row for row in self.rows if row.name == name), None)

    def times_of(self, row: Milestone) -> RowTimes | None:
        """The times of a row's artifact; None if there are none for its checkpoint and number of steps."""
        rows = self.timing.rows if self.timing else ()
        wanted = (row.name, row.source_sha256, row.steps)
        return next((each for each in rows if (each.name, each.source_sha256, each.steps) == wanted), None)

    def with_row(self, row: Milestone, order: Sequence[str]) -> Results:
        """The results with a row added or replaced, sorted by the order of names; unknown names come last."""
        rows = [*(each for each in self.rows if each.name != row.name), row]
        places = {name: place for place, name in enumerate(order)}
        return replace(self, rows=tuple(sorted(rows, key=lambda each: places.get(each.name, len(places)))))


def read_results(path: Path) -> Results:
    """Read the results in a file; raises ConfigError for a file that holds none."""
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: expected results of benchmarks/snapfusion/milestones.py, got {type(error).__name__}; measure"
        ) from None
    try:
        return from_dict(Results, values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def write_results(results: Results, path: Path) -> None:
    """Write the results; each list of numbers is one line."""
    text = json.dumps(asdict(results), indent=1, allow_nan=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda match: " ".join(match[0].split()), text)
    write_bytes(f"{text}\n".encode(), path)
