"""What an export is planned to do, by the size of the model."""

from __future__ import annotations

import dataclasses

import pytest

from export.coreml.options import CoreMLOptions
from export.job.plan import parameter_count, plan_export
from export.parity.measure import CHECKS
from export.signatures import IMAGE_STAGES, STAGES
from export.targets import TARGETS
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import preset


def test_a_small_model_is_held_whole_and_checked_over_trajectories(tiny_config: ModelConfig) -> None:
    plan = plan_export(tiny_config, TARGETS["android"])
    assert (plan.large, plan.depth, plan.stages) == (False, "trajectory", STAGES)
    assert [each.name for each in plan.runtimes] == ["xnnpack", "onnx"]
    assert set(CHECKS) - set(plan.checks) == {"encode_image", "encode_hint"}


@pytest.mark.parametrize("name", ["sd15", "snapfusion", "bk-sdm-tiny"])
def test_a_large_model_is_taken_network_by_network_and_checked_for_one_step(name: str) -> None:
    plan = plan_export(preset(name), TARGETS["ios"], images=True)
    assert (plan.large, plan.depth, plan.stages) == (True, "step", IMAGE_STAGES)
    assert plan.checks == ("encode_text", "encode_image", "denoise", "prediction", "decode_image")
    assert plan_export(preset(name), TARGETS["ios"], depth="trajectory").depth == "trajectory"


def test_parameters_are_counted_without_weights() -> None:
    assert parameter_count(preset("sd15")) == 859_520_964


def test_choices_that_do_not_exist_are_named(tiny_config: ModelConfig) -> None:
    with pytest.raises(ConfigError, match="xnnpack, vulkan, qnn, onnx for android, got 'coreml'"):
        plan_export(tiny_config, TARGETS["android"], ["coreml"])
    with pytest.raises(ConfigError, match="trajectory, step, got 'half'"):
        plan_export(tiny_config, TARGETS["android"], depth="half")
    assert [each.name for each in plan_export(tiny_config, TARGETS["android"], ["onnx"]).runtimes] == ["onnx"]
    tiled, images = dataclasses.replace(tiny_config, tile=16), {"coreml": CoreMLOptions(pixel_buffer=True)}
    plan_export(tiny_config, TARGETS["ios"], ["coreml"], options=images)
    with pytest.raises(ConfigError, match="pixel_buffer: expected a picture that is decoded whole, got tiles"):
        plan_export(tiled, TARGETS["ios"], ["coreml"], options=images)
    with pytest.raises(ConfigError, match="fp16, int8, fp32 for the web, got 'w8a16'"):  # which is for an NPU
        plan_export(tiny_config, TARGETS["web"], precision="w8a16")
