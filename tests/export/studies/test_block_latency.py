"""The latency table of a small model, measured on ExecuTorch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export.studies.block_latency import block_stage, measure_blocks, whole_stage, write_table
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.slimming.actions import reachable_shapes
from mobile_diffusion.slimming.latency import read_table


@pytest.mark.full
def test_every_block_has_a_time(tiny_config: ModelConfig, tmp_path: Path) -> None:
    table = measure_blocks(tiny_config, threads=1, runs=2)
    assert {entry.block for entry in table.blocks} == reachable_shapes(tiny_config.unet, 16, 16)
    assert table.step_ms(tiny_config.unet) == table.total_ms
    write_table(table, tmp_path / "table.json")
    assert read_table(tmp_path / "table.json") == table


def test_blocks_are_the_networks_own(tiny_model: Model) -> None:
    """A stage of the U-Net and of a block compute what the modules do."""
    stage = whole_stage(tiny_model.config)
    given = {name: torch.randn(value.shape) for name, value in stage.example().items()}
    assert stage.module(**given).shape == stage.outputs[0].shape
    for shape in reachable_shapes(tiny_model.config.unet, 16, 16):
        block = block_stage(tiny_model.config, shape)
        assert block.module(*block.example().values()).shape == block.outputs[0].shape
