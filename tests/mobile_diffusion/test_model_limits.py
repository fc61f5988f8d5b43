"""A configuration of our own format that asks for too much is refused within a second, with the limit."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.config import BertConfig, ClipTextConfig, ScheduleConfig
from mobile_diffusion.errors import ConfigError, MobileDiffusionError
from mobile_diffusion.model_limits import TRAIN_STEPS
from mobile_diffusion.presets import PRESETS, preset
from mobile_diffusion.schedule import step_table

BLOCKS = "expected at most 256 blocks .ResNet blocks, transformers, layers., got [1-9][0-9,]+; use a smaller network"
STEPS, SIZE, TOKENS = "1 to 10000", "a multiple of [0-9]+ up to 8192", "3 to 4096"
WEIGHTS = "at most 10,000,000,000 parameters, got [1-9][0-9,]+"
UNBOUNDED: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("unet", "down", 0, "transformers"), 10**6, BLOCKS),
    (("unet", "up", 0, "resnets"), 10**9, BLOCKS),
    (("unet", "guidance_width"), 10**10, "schedule|" + WEIGHTS),
    (("text", "layers"), 10**6, BLOCKS),
    (("text", "vocabulary"), 10**12, WEIGHTS),
    (("text", "intermediate"), 10**12, WEIGHTS),
    (("text", "positions"), 10**12, WEIGHTS),
    (("autoencoder", "resnets"), 10**6, BLOCKS),
    (("autoencoder", "channels"), [2**30, 2**30], "sizes that a model can have|" + WEIGHTS),
    (("schedule", "train_steps"), 10**12, STEPS),
    (("schedule", "train_steps"), 10**4000, STEPS),
    (("schedule", "train_steps"), 1e12, "expected int, got 1000000000000.0"),
    (("schedule", "steps"), 10**12, "steps"),
    (("height",), 2**40, SIZE),
    (("width",), 2**40, SIZE),
]


@pytest.mark.parametrize(("path", "value", "limit"), UNBOUNDED, ids=[f"{p[-1]}-{str(v)[:9]}" for p, v, _ in UNBOUNDED])
def test_refused_at_once(folder: Path, path: tuple[str | int, ...], value: Any, limit: str) -> None:
    file = folder / "model.json"
    values = json.loads(file.read_text())
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file.write_text(json.dumps(values))
    began = time.perf_counter()
    with pytest.raises(MobileDiffusionError, match=limit) as caught:
        open_checkpoint(folder)
    assert time.perf_counter() - began < 1
    assert "\n" not in str(caught.value) and len(str(caught.value)) < len(str(folder)) + 500


@pytest.mark.parametrize("kind", [BertConfig, ClipTextConfig])
@pytest.mark.parametrize("name", ["vocabulary", "width", "layers", "heads", "intermediate", "positions"])
def test_sizes_of_a_text_encoder_are_positive(kind: type[BertConfig | ClipTextConfig], name: str) -> None:
    sizes = {"vocabulary": 9, "width": 8, "layers": 1, "heads": 2, "intermediate": 8, "positions": 24}
    kind(**sizes, max_tokens=24)
    for value in (0, -1):
        with pytest.raises(ConfigError, match=f"{name} is {value}; expected a positive number"):
            kind(**{**sizes, name: value}, max_tokens=24)
    with pytest.raises(ConfigError, match=TOKENS):
        kind(**{**sizes, "positions": 10**6}, max_tokens=10**6)


def test_the_largest_that_is_allowed_takes_no_long_time() -> None:
    began = time.perf_counter()
    for solver in ("ddim", "dpm-solver++", "euler"):
        step_table(ScheduleConfig(train_steps=TRAIN_STEPS, steps=TRAIN_STEPS // 10, solver=solver))
    assert time.perf_counter() - began < 5


def test_every_preset_is_far_below_the_limits() -> None:
    assert all(preset(name).schedule.train_steps * 10 <= TRAIN_STEPS for name in PRESETS)
