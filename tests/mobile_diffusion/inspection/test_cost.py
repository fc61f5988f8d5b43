"""Work and memory of one run, against hand counts and against torch's flop counter on diffusers' modules."""

from __future__ import annotations

import diffusers
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mobile_diffusion.autoencoder import build_autoencoder
from mobile_diffusion.config import UNetConfig
from mobile_diffusion.inspection import measure
from mobile_diffusion.presets import TAESD, preset
from mobile_diffusion.unet import UNet


class Chain(nn.Module):
    """Ten numbers to a hundred to five, with a residual of the first over everything."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow, self.back = nn.Linear(10, 100), nn.Linear(100, 5), nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.back(torch.relu(self.narrow(torch.relu(self.wide(x)))))


def test_counts_of_a_chain_by_hand() -> None:
    with torch.device("meta"):
        chain, x = Chain(), torch.empty(2, 10)
    cost = measure(chain, lambda: chain(x))
    assert cost.macs == 2 * (10 * 100 + 100 * 5 + 5 * 10)
    assert cost.activation_bytes == 4 * (2 * 10 + 2 * 100 + 2 * 100)  # x, and both sides of the first ReLU
    assert cost.peak == "relu 2x100"


def test_a_view_takes_no_memory() -> None:
    with torch.device("meta"):
        x = torch.empty(4, 6)
    cost = measure(nn.Identity(), lambda: x.reshape(6, 4).transpose(0, 1).flatten()[3:])
    assert cost.activation_bytes <= 2 * x.nbytes  # flattening the transposed copies once
    assert measure(nn.Identity(), lambda: x.reshape(6, 4).t()).activation_bytes == x.nbytes


def test_a_tensor_that_is_kept_is_counted_to_the_end() -> None:
    with torch.device("meta"):
        x = torch.empty(1000)
    dropped = measure(nn.Identity(), lambda: x.relu().relu().relu())
    kept = measure(nn.Identity(), lambda: (first := x.relu()).relu().relu() + first)
    assert dropped.activation_bytes == 2 * x.nbytes
    assert kept.activation_bytes == 3 * x.nbytes


def flops(module: nn.Module, *inputs: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops()


@pytest.mark.parametrize("name, side", [("sd15", 64), ("sd21-v", 96), ("bk-sdm-tiny", 64), ("sdxs-512", 64)])
def test_macs_of_a_unet_at_its_size_are_those_of_diffusers(name: str, side: int) -> None:
    unet = preset(name).unet
    with torch.device("meta"):
        reference = diffusers.UNet2DConditionModel.from_config(diffusers_config(unet))
        reference.set_attn_processor(AttnProcessor())
        ours = UNet(unet)
        latents, context = torch.empty(1, 4, side, side), torch.empty(1, 77, unet.context_width)
        cost = measure(ours, lambda: ours(latents, torch.zeros(1), context))
        assert 2 * cost.macs == flops(reference, latents, torch.zeros(1), context)


def diffusers_config(unet: UNetConfig) -> dict[str, object]:
    """The configuration in diffusers' words; the number of heads does not change the work."""
    kinds = ["CrossAttn" if stage.transformers else "" for stage in unet.down]
    return {
        "block_out_channels": [stage.channels for stage in unet.down],
        "layers_per_block": [stage.resnets for stage in unet.down],
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
        "mid_block_type": "UNetMidBlock2DCrossAttn" if unet.mid else None,
        "cross_attention_dim": unet.context_width,
        "use_linear_projection": unet.linear_projection,
    }


def test_macs_of_both_decoders_are_those_of_diffusers() -> None:
    with torch.device("meta"):
        latents = torch.empty(1, 4, 64, 64)
        full = diffusers.AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
        full.set_attn_processor(AttnProcessor())
        tiny = diffusers.AutoencoderTiny()
        for theirs, config in ((full, preset("sd15").autoencoder), (tiny, TAESD)):
            ours = build_autoencoder(config)
            cost = measure(ours, lambda ours=ours: ours.to_images(latents))
            assert 2 * cost.macs == flops(_Decode(theirs), latents)


class _Decode(nn.Module):
    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents).sample
