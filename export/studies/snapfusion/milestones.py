"""What benchmarks/snapfusion/milestones.py measured, as one JSON: a row a model, and times that were taken in turns.

A row keeps what a paired comparison needs: for every prompt its rank and cosine, for every resample its KID.  A row is
replaced when it is measured again; times belong to a row only while both are of the same checkpoint and steps.
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
from mobile_diffusion.staging import write_bytes


@dataclass(frozen=True)
class SetFigures:
    """The quality of a row's pictures of one set of prompts."""

    name: str
    prompts_sha256: str
    """Of the prompts in order: rows are only compared on the same."""
    references: int
    """Real pictures of KID."""
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
    """Of the U-Net, a step."""
    unet_parameters: int
    unet_macs: int
    """Multiply-accumulates of one evaluation."""
    decoder_parameters: int
    decoder_macs: int
    artifact_bytes: int
    """All programs together."""
    drawn_by: str
    count: int
    """Prompts of a set."""
    seed: int
    sets: tuple[SetFigures, ...]

    def find(self, name: str) -> SetFigures:
        """The figures of a set; raises ConfigError when it was not measured."""
        for each in self.sets:
            if each.name == name:
                return each
        raise ConfigError(f"row {self.name!r}: expected the set {name!r}, got none; measure it again")


@dataclass(frozen=True)
class RowTimes:
    """Milliseconds of the stages of a row's artifact: the median of each round."""

    name: str
    source_sha256: str
    steps: int
    encode_text: tuple[float, ...]
    denoise: tuple[float, ...]
    decode_image: tuple[float, ...]

    @property
    def picture(self) -> tuple[float, ...]:
        """Milliseconds of a whole picture in each round: the prompt once, every step, the decoder once."""
        rounds = zip(self.encode_text, self.denoise, self.decode_image, strict=True)
        return tuple(text + self.steps * step + decoder for text, step, decoder in rounds)

    @property
    def step_ms(self) -> float:
        """Median of a step, both evaluations where guidance takes two."""
        return float(np.median(self.denoise))

    @property
    def picture_ms(self) -> float:
        """Median of a whole picture."""
        return float(np.median(self.picture))


@dataclass(frozen=True)
class Timing:
    """Times of all rows, in turns."""

    conditions: Conditions
    runtime: str
    threads: int
    runs: int
    """Of each stage in a round."""
    rows: tuple[RowTimes, ...]


@dataclass(frozen=True)
class Results:
    """All that was measured."""

    rows: tuple[Milestone, ...] = ()
    timing: Timing | None = None

    def find(self, name: str) -> Milestone | None:
        """A row by its name."""
        return next((row for row in self.rows if row.name == name), None)

    def times_of(self, row: Milestone) -> RowTimes | None:
        """The times of a row's artifact; None where none were taken, or those of another checkpoint or schedule."""
        rows = self.timing.rows if self.timing else ()
        wanted = (row.name, row.source_sha256, row.steps)
        return next((each for each in rows if (each.name, each.source_sha256, each.steps) == wanted), None)

    def with_row(self, row: Milestone, order: Sequence[str]) -> Results:
        """With a row in the place of the one of the same name; rows in an order of names, unknown ones behind."""
        rows = [*(each for each in self.rows if each.name != row.name), row]
        places = {name: place for place, name in enumerate(order)}
        return replace(self, rows=tuple(sorted(rows, key=lambda each: places.get(each.name, len(places)))))


def read_results(path: Path) -> Results:
    """The results in a file; raises ConfigError for a file that is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: expected results of benchmarks/snapfusion/milestones.py, got {type(error).__name__}; measure"
        ) from None
    try:
        return from_dict(Results, values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def write_results(results: Results, path: Path) -> None:
    """Write the results, lists of numbers on one line each."""
    text = json.dumps(asdict(results), indent=1, allow_nan=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda match: " ".join(match[0].split()), text)
    write_bytes(f"{text}\n".encode(), path)
