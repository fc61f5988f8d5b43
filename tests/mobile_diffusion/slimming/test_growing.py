"""A grown U-Net draws as the one that it was made of, and its new blocks learn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.cli.train import app
from mobile_diffusion.config import UNetConfig, UNetLevel
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import PRESETS, preset
from mobile_diffusion.recipes.grow import grow_checkpoint
from mobile_diffusion.slim import origins, slim_unet
from mobile_diffusion.slimming.blocks import skippable
from mobile_diffusion.slimming.growing import grow_unet
from mobile_diffusion.unet import UNet

NARROW = UNetConfig(
    down=(UNetLevel(16, 1, 0), UNetLevel(32, 1, 1)),
    mid=UNetLevel(32, 1, 1),
    up=(UNetLevel(32, 2, 2), UNetLevel(16, 2, 1)),
    context_width=24,
    heads=2,
    groups=8,
)
COUNTS = dataclasses.replace(
    NARROW,
    down=(UNetLevel(16, 2, 0), UNetLevel(32, 2, 2)),
    mid=UNetLevel(32, 2, 2),
    up=(UNetLevel(32, 3, 3), UNetLevel(16, 3, 2)),
)


def seen(unet: UNet) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    latents, context = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 5, 24, generator=generator)
    return unet(latents, torch.tensor([900, 30]), context)  # type: ignore[no-any-return]


@pytest.fixture(params=[False, True], ids=["plain", "whole text"])
def unet(request: pytest.FixtureRequest) -> UNet:
    torch.manual_seed(1)
    return UNet(dataclasses.replace(NARROW, pooled_context=request.param))


def test_it_draws_as_before(unet: UNet) -> None:
    grown = grow_unet(unet, COUNTS, seed=3)
    assert len(skippable(grown)) == len(skippable(unet)) + 9
    assert torch.allclose(seen(grown), seen(unet), atol=1e-5)


def test_without_its_new_blocks_it_is_the_first_one(unet: UNet) -> None:
    back, _ = slim_unet(grow_unet(unet, COUNTS, seed=3), NARROW)
    assert all(torch.equal(value, unet.state_dict()[name]) for name, value in back.state_dict().items())


def test_new_blocks_learn(unet: UNet) -> None:
    grown = grow_unet(unet, COUNTS, seed=3)
    seen(grown).square().mean().backward()  # type: ignore[no-untyped-call]
    for name in ("mid_block.resnets.1.conv2", "up_blocks.0.attentions.1.proj_out", "down_blocks.0.resnets.1.conv2"):
        gradient = grown.get_submodule(name).weight.grad
        assert isinstance(gradient, torch.Tensor) and float(gradient.abs().max()) > 0


def test_what_it_cannot_grow_to(unet: UNet) -> None:
    with pytest.raises(ConfigError, match=r"down_blocks\.0: expected 2 ResNet blocks or more to grow to, got 1"):
        grow_unet(UNet(COUNTS), NARROW, seed=0)
    without = dataclasses.replace(COUNTS, down=(UNetLevel(16, 2, 0), UNetLevel(32, 2, 0)))
    with pytest.raises(ConfigError, match=r"down_blocks\.1: expected a transformer after ResNet block 0, got none"):
        grow_unet(unet, without, seed=0)
    with pytest.raises(ConfigError, match="one more ResNet block"):
        grow_unet(unet, dataclasses.replace(COUNTS, down=(UNetLevel(24, 2, 0), UNetLevel(32, 2, 2))), seed=0)


def test_a_checkpoint_by_the_command(tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tiny_model, tmp_path / "full")
    counts = tiny_model.config.unet
    assert counts.mid is not None
    wide = dataclasses.replace(counts, mid=dataclasses.replace(counts.mid, resnets=counts.mid.resnets + 1))
    monkeypatch.setitem(PRESETS, "tiny-wide", dataclasses.replace(tiny_model.config, name="tiny-wide", unet=wide))
    words = ["grow", str(tmp_path / "full"), "--preset", "tiny-wide", "--out", str(tmp_path / "wide")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0 and "it draws as before" in result.output
    grown = open_checkpoint(tmp_path / "wide")
    assert grown.config.unet == wide and grown.config.name == "tiny-wide"
    before, after = grow_checkpoint(tmp_path / "full", "tiny-wide", tmp_path / "again")
    assert after > before == sum(value.numel() for value in tiny_model.unet.parameters())


def test_a_repeated_resnet_block_on_the_way_up_has_its_inputs() -> None:
    """Only those between the first and the last take and give the stage's own channels."""
    full = preset("sd15").unet
    down, up = dataclasses.replace(full.down[1], resnets=4), dataclasses.replace(full.up[2], resnets=5)
    stages = {"down": (full.down[0], down, *full.down[2:]), "up": (*full.up[:2], up, full.up[3])}
    taken = origins(full, dataclasses.replace(full, **stages))  # type: ignore[arg-type]
    found = [taken[f"up_blocks.2.resnets.{index}"].rsplit(".", 1)[1] for index in range(5)]
    assert found == ["0", "1", "1", "1", "2"]
