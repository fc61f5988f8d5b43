"""Configurations: to JSON and back, and errors that name field and value."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import (
    ModelConfig,
    ScheduleConfig,
    UNetConfig,
    UNetLevel,
)
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_round_trip(name: str) -> None:
    assert from_dict(ModelConfig, json.loads(json.dumps(to_dict(PRESETS[name])))) == PRESETS[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "field 'name'"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"height": 100}, "height is 100"),
        ({"width": True}, "field 'width'"),
        ({"tokenizer": "bytes"}, "tokenizer is 'bytes'"),
        ({"unet": []}, "UNetConfig: expected an object"),
        ({"text": {"kind": "t5"}}, "kind is 't5'"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(ModelConfig, {**to_dict(preset("emoji")), **change})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_missing_field_is_named() -> None:
    values = to_dict(preset("emoji"))
    del values["unet"]["context_width"]
    with pytest.raises(ConfigError, match="context_width"):
        from_dict(ModelConfig, values)


def test_rules() -> None:
    stage = UNetLevel(32, 1, 1)
    for change in ({"up": (UNetLevel(32, 1, 1),)}, {"heads": 5}, {"groups": 7}, {"in_channels": 0}):
        values: dict[str, Any] = {"down": (stage,), "mid": None, "up": (UNetLevel(32, 2, 1),), "context_width": 8}
        with pytest.raises(ConfigError):
            UNetConfig(**{**values, **change})
    with pytest.raises(ConfigError, match="scaling_factor"):
        AutoencoderConfig(channels=(32,), scaling_factor=float("nan"))
    for change in ({"steps": 0}, {"steps": 1001}, {"prediction": "x0"}, {"guidance": float("nan")}, {"guidance": 31}):
        with pytest.raises(ConfigError, match=next(iter(change))):
            dataclasses.replace(ScheduleConfig(), **change)


@pytest.mark.parametrize(("guidance", "applied"), [(-1.0, "none"), (0.0, "none"), (1.0, "none"), (1.1, "cfg")])
def test_a_default_scale_of_one_or_less_is_no_guidance(guidance: float, applied: str) -> None:
    assert ScheduleConfig(guidance=guidance).applied_guidance == applied
    assert ScheduleConfig(guidance=guidance, guidance_kind="distilled").applied_guidance == "distilled"


def test_transformers_are_spread_evenly() -> None:
    assert [UNetLevel(8, 2, 6).transformers_after(i) for i in range(2)] == [3, 3]
    assert [UNetLevel(8, 3, 1).transformers_after(i) for i in range(3)] == [0, 0, 1]
    assert sum(UNetLevel(8, 3, 7).transformers_after(i) for i in range(3)) == 7
