"""Stages of the presets: counts, and sizes of weights against hand counts and published packages."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mobile_diffusion.config import ModelConfig
from mobile_diffusion.inspection import PRECISIONS, stage_costs, stored_bytes
from mobile_diffusion.presets import preset
from mobile_diffusion.schedule import step_table
from mobile_diffusion.unet import UNet


def test_stable_diffusion_at_its_size() -> None:
    """Ours are equal to torch's count of diffusers' modules (test_cost.py), here to the last published digit."""
    text, denoise, decode, encode = stage_costs(preset("sd15"))
    assert [stage.name for stage in (text, denoise, decode, encode)] == [
        "encode_text",
        "denoise",
        "decode_image",
        "encode_image",
    ]
    assert (text.runs, denoise.runs, decode.runs, encode.runs) == (2, 8, 1, 0)
    assert text.macs / 1e9 == pytest.approx(6.65, abs=0.01)
    assert denoise.macs / 1e9 == pytest.approx(2 * 401.6, abs=0.1)
    assert decode.macs / 1e9 == pytest.approx(1257.3, abs=0.1)
    assert denoise.peak == "softmax 2x8x4096x4096"
    assert 2 * 2 * 8 * 4096**2 * 4 < denoise.activation_bytes < 2.3e9  # scores and their softmax, and little more
    assert text.parameters == 123_060_480
    assert decode.parameters + encode.parameters == 83_653_863


def test_the_time_embedding_is_no_weight_of_the_denoising_stage() -> None:
    config = preset("sd15")
    with torch.device("meta"):
        unet = UNet(config.unet)
    embedding = sum(weight.numel() for weight in unet.time_embedding.parameters())
    total = sum(weight.numel() for weight in unet.parameters())
    assert stage_costs(config)[1].parameters == total - embedding


def test_guidance_doubles_the_work_of_a_step(tiny_config: ModelConfig) -> None:
    once = dataclasses.replace(
        tiny_config, schedule=dataclasses.replace(tiny_config.schedule, guidance_kind="distilled")
    )
    twice, single = stage_costs(tiny_config), stage_costs(once)
    assert single[0].runs == 1
    assert twice[0].runs == 2
    assert twice[1].macs == pytest.approx(2 * single[1].macs, rel=0.01)  # all but the projections of the time
    assert twice[1].activation_bytes > 1.9 * single[1].activation_bytes


def test_runs_are_the_evaluations_of_the_solver(tiny_config: ModelConfig) -> None:
    schedule = dataclasses.replace(tiny_config.schedule, solver="pndm", spacing="leading", prediction="epsilon")
    config = dataclasses.replace(tiny_config, schedule=schedule)
    assert stage_costs(config)[1].runs == len(step_table(schedule).rows()) == schedule.steps + 1


def test_work_grows_with_the_picture(tiny_config: ModelConfig) -> None:
    small, large = (stage_costs(dataclasses.replace(tiny_config, height=side, width=64)) for side in (64, 128))
    assert large[2].macs > 2 * small[2].macs  # attention grows faster than the picture
    assert large[0] == small[0]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_stored_bytes_by_hand(precision: str) -> None:
    shapes = [(10, 20), (10,), (7, 3, 3, 3)]
    matrices, vector = 10 * 20 + 7 * 27, 10
    expected = {
        "fp32": 4 * (matrices + vector),
        "fp16": 2 * (matrices + vector),
        "int8": matrices + 2 * (10 + 7) + 2 * vector,
        "6-bit": 150 + 142 + 2 * (64 + 64) + 2 * vector,
        "4-bit": 100 + 95 + 2 * (16 + 16) + 2 * vector,
    }
    assert stored_bytes(shapes, precision) == expected[precision]


def test_sizes_are_those_of_converted_packages() -> None:
    """FACTS: Core ML's U-Net of Stable Diffusion 1.5 takes 1.7 GB in float16, and 616 MiB in 6 bits."""
    sizes = stage_costs(preset("sd15"))[1].weight_bytes
    assert sizes["fp16"] / 1e9 == pytest.approx(1.7, abs=0.05)
    assert sizes["6-bit"] / 2**20 == pytest.approx(616, rel=0.01)
