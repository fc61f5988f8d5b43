"""Slim U-Nets: against diffusers' modules from which the same blocks were deleted, and against their report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import diffusers
import pytest
import torch
from rich.console import Console
from torch import nn

from mobile_diffusion.checkpoint import Model, open_checkpoint, open_source, save_checkpoint
from mobile_diffusion.cli.slim import slim_table
from mobile_diffusion.config import ModelConfig, UNetConfig, UNetLevel
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import PRESETS, preset
from mobile_diffusion.slim import chosen, origins, slim_checkpoint, slim_config, slim_unet
from mobile_diffusion.unet import UNet

NARROW = {320: 16, 640: 32, 1280: 48}
SLIM = ("bk-sdm-base", "bk-sdm-small", "bk-sdm-tiny", "sdxs-512", "snapfusion")


def narrow(config: UNetConfig) -> UNetConfig:
    """A preset's table at a twentieth of its width."""

    def stage(full: UNetLevel) -> UNetLevel:
        return dataclasses.replace(full, channels=NARROW[full.channels], heads=None)

    return dataclasses.replace(
        config,
        down=tuple(map(stage, config.down)),
        mid=stage(config.mid) if config.mid else None,
        up=tuple(map(stage, config.up)),
        context_width=24,
        heads=4,
        groups=8,
    )


def full_unet() -> tuple[diffusers.UNet2DConditionModel, UNet]:
    """diffusers' module of Stable Diffusion 1.5's shape and ours with its weights, all of them random."""
    torch.manual_seed(0)
    reference = diffusers.UNet2DConditionModel(
        block_out_channels=(16, 32, 48, 48), cross_attention_dim=24, attention_head_dim=4, norm_num_groups=8
    ).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    ours = UNet(narrow(preset("sd15").unet)).eval()
    ours.load_state_dict({name: value.clone() for name, value in reference.state_dict().items()})
    return reference, ours


def delete_blocks(unet: diffusers.UNet2DConditionModel, mid: bool, levels: int) -> None:
    """BK-SDM's procedure on diffusers' module: see section 4 of arXiv 2305.15798 and its figure of the U-Net."""
    for block in (*unet.down_blocks, *unet.up_blocks):
        keep = [0] if block in unet.down_blocks else [0, 2]
        block.resnets = nn.ModuleList(block.resnets[index] for index in keep)
        if getattr(block, "attentions", None) is not None:
            block.attentions = nn.ModuleList(block.attentions[index] for index in keep)
    if not mid:
        unet.mid_block = None
    unet.down_blocks, unet.up_blocks = unet.down_blocks[:levels], unet.up_blocks[-levels:]
    unet.down_blocks[-1].downsamplers = None


@pytest.mark.parametrize(
    "name, mid, levels", [("bk-sdm-base", True, 4), ("bk-sdm-small", False, 4), ("bk-sdm-tiny", False, 3)]
)
@torch.no_grad()
def test_equal_to_diffusers_with_blocks_deleted(name: str, mid: bool, levels: int) -> None:
    reference, full = full_unet()
    slim, _ = slim_unet(full, narrow(preset(name).unet))
    delete_blocks(reference, mid, levels)
    latents, timesteps, context = torch.randn(2, 4, 16, 16), torch.tensor([999, 3]), torch.randn(2, 7, 24)
    expected = reference(latents, timesteps, context).sample
    assert expected.std() > 0.01
    torch.testing.assert_close(slim(latents, timesteps, context), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SLIM)
@torch.no_grad()
def test_every_block_is_the_full_networks(name: str) -> None:
    _, full = full_unet()
    config = narrow(preset(name).unet)
    slim, report = slim_unet(full, config)
    assert slim.config == config
    for block in (*report.kept, *report.copied):
        ours, theirs = slim.get_submodule(block.name).state_dict(), full.get_submodule(block.source).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert block.parameters == sum(value.numel() for value in ours.values())
    assert report.parameters == sum(value.numel() for value in slim.parameters())
    assert report.full_parameters == sum(value.numel() for value in full.parameters())
    assert slim(torch.randn(1, 4, 16, 16), torch.tensor([500]), torch.randn(1, 7, 24)).isfinite().all()


def test_snapfusions_extra_transformers_are_copies_with_weights_of_their_own() -> None:
    _, full = full_unet()
    slim, report = slim_unet(full, narrow(preset("snapfusion").unet))
    assert [(block.name, block.source) for block in report.copied] == [
        (f"up_blocks.1.attentions.{2 * index + 1}", f"up_blocks.1.attentions.{index}") for index in range(3)
    ]
    assert len({value.data_ptr() for value in slim.parameters()}) == len(list(slim.parameters()))
    dropped = {block.name for block in report.dropped}
    assert {"down_blocks.0.attentions.0", "down_blocks.2.resnets.1", "mid_block.resnets.1"} <= dropped
    assert "up_blocks.1.resnets.1" in dropped


def test_origins_of_bk_sdm_tiny() -> None:
    taken = origins(preset("sd15").unet, preset("bk-sdm-tiny").unet)
    assert taken["up_blocks.0.resnets.0"] == "up_blocks.1.resnets.0"
    assert taken["up_blocks.2.attentions.1"] == "up_blocks.3.attentions.2"
    assert taken["down_blocks.2.resnets.0"] == "down_blocks.2.resnets.0"
    assert not any(source.startswith(("mid_block", "down_blocks.3", "up_blocks.0")) for source in taken.values())


@pytest.mark.parametrize("name", SLIM)
def test_real_widths_fit(name: str) -> None:
    """Every tensor of the real preset is one of Stable Diffusion 1.5's, shapes included."""
    with torch.device("meta"):
        slim, report = slim_unet(UNet(preset("sd15").unet), preset(name).unet)
    assert slim.config == preset(name).unet
    assert report.full_parameters == 859_520_964


@pytest.mark.parametrize("name", ["ssd-1b", "segmind-vega", "koala-1b", "koala-700m"])
def test_relatives_of_sdxl(name: str) -> None:
    """They keep the first blocks of SDXL's deep transformers; KOALA's paper removes the same."""
    with torch.device("meta"):
        full = UNet(preset("sdxl").unet)
    slim, report = slim_unet(full, preset(name).unet)
    kept = {block.source: block.parameters for block in report.kept}
    assert kept["add_embedding"] == sum(p.numel() for p in full.get_submodule("add_embedding").parameters())
    with torch.device("meta"):
        assert {k: v.shape for k, v in slim.state_dict().items()} == {
            k: v.shape for k, v in UNet(preset(name).unet).state_dict().items()
        }
    own, theirs = slim.state_dict(), full.state_dict()
    first = "down_blocks.2.attentions.0.transformer_blocks.1.ff.net.2.weight"
    assert own[first] is theirs[first] or own[first].data_ptr() == theirs[first].data_ptr()


def test_a_preset_with_deeper_transformers_is_refused() -> None:
    with torch.device("meta"):
        koala = UNet(preset("koala-700m").unet)
    deeper = dataclasses.replace(
        koala.config, down=(*koala.config.down[:2], dataclasses.replace(koala.config.down[2], depths=(6,)))
    )
    with pytest.raises(ConfigError, match="transformer_blocks.5.* in the checkpoint, got none; choose a smaller"):
        slim_unet(koala, deeper)


def test_all_but_the_counts_is_the_checkpoints() -> None:
    """BK-SDM has a second version, of Stable Diffusion 2.1."""
    config = slim_config(preset("sd21-base").unet, preset("bk-sdm-tiny").unet)
    assert config.linear_projection
    assert config.context_width == 1024
    assert [config.heads_of(stage) for stage in config.down] == [5, 10, 20]
    with torch.device("meta"):
        slim_unet(UNet(preset("sd21-base").unet), preset("bk-sdm-tiny").unet)


def test_chosen_blocks() -> None:
    assert chosen(2, 1, spread=False) == [0]
    assert chosen(3, 2, spread=True) == [0, 2] and chosen(3, 1, spread=True) == [2]
    assert chosen(4, 3, spread=True) == [0, 2, 3]
    assert chosen(3, 3, spread=True) == [0, 1, 2]
    assert chosen(3, 6, spread=True) == [0, 0, 1, 1, 2, 2]
    assert chosen(2, 0, spread=True) == chosen(0, 0, spread=False) == []


@pytest.mark.parametrize(
    "full, counts, message",
    [
        ("sd15", "emoji", "expected levels of 320 channels"),
        ("bk-sdm-small", "bk-sdm-base", "expected no middle"),
        ("bk-sdm-tiny", "sd15", "expected at most 3 levels"),
        ("sdxs-512", "bk-sdm-tiny", "expected no transformers in a level of 320 channels"),
    ],
)
def test_what_cannot_be_slimmed_is_refused(full: str, counts: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        slim_config(preset(full).unet, preset(counts).unet)
    assert "\n" not in str(caught.value)


def test_a_convolution_that_would_lose_inputs_is_refused() -> None:
    """Without its widest level, the first block of the way up would be given another number of channels."""
    stages = [UNetLevel(16, 1, 0), UNetLevel(32, 1, 0), UNetLevel(48, 1, 0)]
    up = [dataclasses.replace(stage, resnets=2) for stage in reversed(stages)]
    full = UNetConfig(down=tuple(stages), mid=None, up=tuple(up), context_width=8, groups=8)
    counts = dataclasses.replace(full, down=tuple(stages[:2]), up=tuple(up[1:]))
    with torch.device("meta"), pytest.raises(ConfigError, match=r"up_blocks.0.resnets.0.* expected shape"):
        slim_unet(UNet(full), counts)


def test_a_slim_checkpoint_opens(
    tmp_path: Path, tiny_model: Model, tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = tiny_config.unet
    counts = dataclasses.replace(
        unet, mid=None, up=tuple(dataclasses.replace(stage, transformers=0) for stage in unet.up)
    )
    monkeypatch.setitem(PRESETS, "thin", dataclasses.replace(tiny_config, unet=counts))
    save_checkpoint(tiny_model, tmp_path / "full")
    report = slim_checkpoint(open_source(tmp_path / "full"), "thin", tmp_path / "thin")
    slim = open_checkpoint(tmp_path / "thin")
    assert slim.config == dataclasses.replace(tiny_config, name="thin-init", unet=counts)
    assert report.parameters == sum(value.numel() for value in slim.unet.parameters())
    kept = tiny_model.unet.conv_in.weight.half().float()  # float16 on disk
    assert torch.equal(slim.unet.conv_in.weight, kept)


def test_the_report_is_a_table() -> None:
    with torch.device("meta"):
        _, report = slim_unet(UNet(preset("sd15").unet), preset("snapfusion").unet)
    console = Console(width=110, record=True, highlight=False)
    console.print(slim_table(report, "sd15 -> snapfusion"))
    text = console.export_text()
    assert "U-Net: 859.5 M -> 759.3 M parameters (88%)" in text
    row = next(line for line in text.splitlines() if "up_blocks.1" in line)
    assert "attentions 0, 1, 2" in row
