"""Presets: parameter counts, and what diffusers counts for the same configuration."""

from __future__ import annotations

import diffusers
import pytest
import torch

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import PRESETS, preset
from mobile_diffusion.unet import UNet

# Stable Diffusion 1.5: published; BK-SDM: published as 579.4, 482.3 and 323.4 M; SnapFusion: our count of its
# table (the paper prints 848 M, which its table does not give).
COUNTS = {
    "sd15": 859_520_964,
    "snapfusion": 759_327_364,
    "bk-sdm-base": 579_384_964,
    "bk-sdm-small": 482_346_884,
    "bk-sdm-tiny": 323_384_964,
}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count(name: str) -> None:
    with torch.device("meta"):
        assert count(UNet(preset(name).unet)) == COUNTS[name]


def test_stable_diffusion_names_are_those_of_diffusers() -> None:
    with torch.device("meta"):
        reference = diffusers.UNet2DConditionModel(cross_attention_dim=768)
        ours = UNet(preset("sd15").unet)
        decoder = diffusers.AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
        autoencoder = Autoencoder(preset("sd15").autoencoder)
    for theirs, our in ((reference, ours), (decoder, autoencoder)):
        assert {name: value.shape for name, value in our.state_dict().items()} == {
            name: value.shape for name, value in theirs.state_dict().items()
        }


def test_unknown_preset_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="sd15, snapfusion") as caught:
        preset("sd3")
    assert "\n" not in str(caught.value)
    assert set(COUNTS) < set(PRESETS)
