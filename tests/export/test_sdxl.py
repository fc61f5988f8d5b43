"""SDXL and its relatives open and draw, but their exports are refused in one line."""

from __future__ import annotations

import dataclasses

import pytest

from export.job.plan import plan_export
from export.signatures import signature
from export.targets import TARGETS
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import preset


@pytest.mark.parametrize("name", ["sdxl", "ssd-1b", "lcm-sdxl"])
@pytest.mark.parametrize("target", TARGETS)
def test_an_export_is_refused_in_one_line(name: str, target: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: SDXL and its relatives .* cannot be exported yet") as caught:
        plan_export(preset(name), TARGETS[target])
    assert "\n" not in str(caught.value)


def test_the_autoencoder_is_a_stage_as_any_other() -> None:
    """Its stages have no second text, so they can be studied."""
    assert signature(preset("sdxl"), "decode_image").inputs[0].shape == (1, 4, 128, 128)
    for stage in ("encode_text", "denoise"):
        with pytest.raises(ConfigError, match="cannot be exported yet"):
            signature(dataclasses.replace(preset("sdxl"), name="other"), stage)
