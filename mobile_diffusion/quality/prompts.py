"""The three sets of prompts that a model is evaluated on, and the real pictures that each is compared with.

The settings that a model was trained with (styles and groups of concepts) and the data set define the sets:

- `training`: captions of pictures that the model was trained on.
- `held-out`: captions of concepts whose whole family was held out, in the styles and groups of the training.  They are
  new to the retrieval head too.
- `combinations`: concepts of the training in styles that the training left out, such as "red apple, flat" for a model
  trained on "red apple, 3d".  The data set's split holds out a concept in every style, never a single picture of it, so
  there are no other new combinations.  The word for the style is then also new to the model.  For a model trained on
  every style there are no such pictures, and the set is left out.

Pictures are ordered by a hash of seed and name.  The first `count` provide the prompts, and the first `REFERENCES` (or
`count`, if that is larger) are the real pictures, so both come from the same distribution.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from mobile_diffusion.config_json import from_dict
from mobile_diffusion.data import Sample, captions
from mobile_diffusion.errors import ConfigError, DataError
from mobile_diffusion.recipes.unet import UNetRecord, UNetSettings
from mobile_diffusion.strict_json import parse_json
from mobile_diffusion.training.settings import read_settings

REFERENCES = 256
"""Number of real pictures per set, if there are enough."""

SETS = {
    "training": "captions that the model was trained on",
    "held-out": "concepts of families that were held out, in the model's styles",
    "combinations": "trained concepts in styles that training left out",
}


@dataclass(frozen=True)
class PromptSet:
    """Prompts of one kind, with real pictures."""

    name: str
    """One of `SETS`."""
    samples: tuple[Sample, ...]
    """The pictures whose captions are the prompts."""
    references: tuple[Sample, ...]
    """Real pictures of the same kind; the prompts' own come first."""

    @property
    def captions(self) -> tuple[str, ...]:
        """The prompts: each picture's label with its style."""
        return tuple(captions(sample)[0] for sample in self.samples)


def prompt_sets(samples: Sequence[Sample], settings: UNetSettings, count: int, seed: int = 0) -> list[PromptSet]:
    """The sets that have pictures, in the order of `SETS`, with up to `count` prompts each.

    Raises DataError when the data set has no picture that `settings` would train on.
    """
    ordered = sorted(samples, key=lambda sample: _place(sample, seed))
    groups: dict[str, list[Sample]] = {name: [] for name in SETS}
    trained = {sample.hexcode for sample in ordered if _set_of(sample, settings, frozenset()) == "training"}
    for sample in ordered:
        name = _set_of(sample, settings, trained)
        if name:
            groups[name].append(sample)
    if not groups["training"]:
        raise DataError(f"data: expected training pictures in the styles {', '.join(settings.styles)}, got none")
    wanted = max(REFERENCES, count)
    return [PromptSet(name, tuple(them[:count]), tuple(them[:wanted])) for name, them in groups.items() if them]


def _place(sample: Sample, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{sample.id}".encode()).digest()


def _set_of(sample: Sample, settings: UNetSettings, trained: set[str] | frozenset[str]) -> str | None:
    """The set that a picture belongs to, if any; `trained` are the hexcodes of the concepts of the training."""
    if settings.groups and sample.group not in settings.groups:
        return None
    if sample.style in settings.styles:
        return "training" if sample.split == "train" else "held-out"
    return "combinations" if sample.hexcode in trained else None


def read_training(path: Path) -> UNetSettings:
    """Read the settings of a training run from its settings.json or TOML file.

    Raises ConfigError when the file is missing or malformed.
    """
    if path.suffix == ".toml":
        return read_settings(path, UNetSettings)
    try:
        record = from_dict(UNetRecord, parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected the settings of a training run, got {error}; name another file") from error
    return UNetSettings(**{field.name: getattr(record, field.name) for field in fields(UNetSettings)})
