"""Blocks left out, tables of latency, and the evolution of architectures, each against arithmetic of its own."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import UNetConfig, UNetLevel
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import preset
from mobile_diffusion.slim import slim_config, slim_unet
from mobile_diffusion.slimming.actions import Action, additions, apply, reachable_shapes, removals
from mobile_diffusion.slimming.blocks import RESNET, TRANSFORMER, BlockShape, block_shapes, skippable, skipping
from mobile_diffusion.slimming.evolution import evolve
from mobile_diffusion.slimming.evolution_plot import draw_evolution
from mobile_diffusion.slimming.latency import BlockLatency, LatencyTable, read_table
from mobile_diffusion.unet import UNet

WIDE = UNetConfig(
    down=(UNetLevel(32, 2, 1), UNetLevel(64, 2, 2)),
    mid=UNetLevel(64, 2, 1),
    up=(UNetLevel(64, 3, 3), UNetLevel(32, 3, 2)),
    context_width=48,
    heads=4,
    groups=16,
)
SIDE = 16


def table_of(config: UNetConfig = WIDE, side: int = SIDE) -> LatencyTable:
    """A resnet takes its inputs in microseconds, a transformer twice its channels, whatever the side."""
    shapes = sorted(reachable_shapes(config, side, side))
    times = [each.inputs / 1000 if each.kind == RESNET else each.channels / 500 for each in shapes]
    entries = tuple(BlockLatency(shape, time) for shape, time in zip(shapes, times, strict=True))
    return LatencyTable("made up", "none", 1, side, side, config, 10.0, entries)


def test_shapes_of_a_small_network() -> None:
    found = block_shapes(WIDE, SIDE, SIDE)
    assert found[BlockShape(TRANSFORMER, 32, 32, 16, 16)] == 1 + 2
    assert found[BlockShape(TRANSFORMER, 64, 64, 8, 8)] == 2 + 1 + 3
    assert found[BlockShape(RESNET, 32, 64, 8, 8)] == 1  # the first of the second stage down
    assert found[BlockShape(RESNET, 128, 64, 8, 8)] == 2  # up, with skips of 64
    assert found[BlockShape(RESNET, 96, 64, 8, 8)] == 1  # up, with the skip of the stage above
    assert sum(count for shape, count in found.items() if shape.kind == RESNET) == 2 + 2 + 2 + 3 + 3


def test_shapes_count_what_the_real_network_has() -> None:
    sd15 = preset("sd15").unet
    found = block_shapes(sd15, 64, 64)
    assert sum(n for shape, n in found.items() if shape.kind == TRANSFORMER) == 16
    assert sum(n for shape, n in found.items() if shape.kind == RESNET) == 22


def test_a_network_without_a_transformer_is_the_slimmer_one(tiny_model: Model) -> None:
    """Skipping the last transformer of a stage down is what slim_unet makes of one transformer fewer."""
    torch.manual_seed(0)
    full = UNet(WIDE).eval().requires_grad_(False)
    slim, _ = slim_unet(full, apply(WIDE, Action(TRANSFORMER, "mid", -1)))
    given = (torch.randn(1, 4, SIDE, SIDE), torch.tensor([500]), torch.randn(1, 12, 48))
    with skipping(full, ["mid_block.attentions.0"]):
        left_out = full(*given)
    assert torch.allclose(left_out, slim(*given), atol=1e-6)
    assert not torch.allclose(full(*given), left_out, atol=1e-3)  # and afterwards it is back


def test_every_block_can_be_left_out(tiny_model: Model) -> None:
    unet = tiny_model.unet
    given = (torch.randn(1, *tiny_model.config.latent_shape[1:]), torch.tensor([500]), torch.randn(1, 12, 48))
    names = skippable(unet)
    with torch.no_grad():
        whole = unet(*given)
        for name in names:
            with skipping(unet, [name]):
                assert not torch.equal(unet(*given), whole), name
        with skipping(unet, names):
            assert unet(*given).isfinite().all()
        assert torch.equal(unet(*given), whole)
    assert len(names) == sum(block_shapes(unet.config, 16, 16).values())


def test_a_context_that_fails_puts_the_blocks_back(tiny_model: Model) -> None:
    name = skippable(tiny_model.unet)[0]
    with pytest.raises(KeyboardInterrupt), skipping(tiny_model.unet, [name]):
        raise KeyboardInterrupt
    assert "forward" not in vars(tiny_model.unet.get_submodule(name))


def test_actions_keep_what_a_network_must_have() -> None:
    config = WIDE
    seen = Counter[str]()
    while ways := removals(config):
        config = apply(config, ways[-1])
        seen[ways[-1].kind] += 1
        slim_config(WIDE, config)  # it can be made of the full network
    assert all(stage.resnets == 1 and stage.transformers == 0 for stage in config.down)
    assert seen == {TRANSFORMER: 9, RESNET: 2 + 1}


def test_additions_end_at_twice_the_full_network() -> None:
    config = WIDE
    while ways := additions(config, WIDE):
        config = apply(config, ways[0])
    assert [stage.transformers for stage in config.up] == [6, 4] and config.down[0].resnets == 4
    assert set(block_shapes(config, SIDE, SIDE)) <= reachable_shapes(WIDE, SIDE, SIDE)


def test_the_table_adds_up() -> None:
    table = table_of()
    assert table.step_ms(WIDE) == pytest.approx(10.0)
    fewer = apply(WIDE, Action(TRANSFORMER, "up.0", -1))
    assert table.step_ms(fewer) == pytest.approx(10.0 - 64 / 500)
    level = apply(WIDE, Action(RESNET, "level.1", -1))
    assert table.step_ms(level) == pytest.approx(10.0 - 64 / 1000 - 128 / 1000)


def test_a_table_of_another_architecture() -> None:
    other = dataclasses.replace(WIDE, down=(UNetLevel(48, 2, 1), WIDE.down[1]), up=(WIDE.up[0], UNetLevel(48, 3, 2)))
    with pytest.raises(ConfigError, match="expected a table of this architecture, got none for BlockShape"):
        table_of().step_ms(other)
    with pytest.raises(ConfigError, match="expected positive times, got nan"):
        dataclasses.replace(table_of(), total_ms=float("nan"))
    with pytest.raises(ConfigError, match="expected the time of BlockShape"):
        dataclasses.replace(table_of(), blocks=table_of().blocks[1:3])


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(json.dumps(asdict(table_of())))
    assert read_table(tmp_path / "table.json") == table_of()
    (tmp_path / "table.json").write_text("{}")
    with pytest.raises(ConfigError, match="table.json: LatencyTable"):
        read_table(tmp_path / "table.json")
    with pytest.raises(ConfigError, match="expected a latency table, got FileNotFoundError"):
        read_table(tmp_path / "absent.json")


def blocks_at(config: UNetConfig) -> dict[str, int]:
    stages = {"down.0": config.down[0], "down.1": config.down[1], "mid": config.mid}
    stages |= {"up.0": config.up[0], "up.1": config.up[1]}
    return {place: stage.transformers for place, stage in stages.items() if stage is not None}


def test_the_cheapest_blocks_go_first_and_the_dearest_is_repeated() -> None:
    """Quality counts transformers: those of "up.1" are worth nothing, that of "mid" most."""
    worth = {"down.0": 1.0, "down.1": 2.0, "mid": 50.0, "up.0": 3.0, "up.1": 0.0}

    def quality(config: UNetConfig) -> float:
        levels = sum(stage.resnets for stage in config.down) + (config.mid.resnets if config.mid else 0)
        return sum(worth[place] * count for place, count in blocks_at(config).items()) + 100 * levels

    table = table_of()
    target = 10.0 - 4 * 32 / 500 + 1e-6
    decisions = evolve(WIDE, table, quality, target)
    removed = [str(decision.action) for decision in decisions]
    assert removed[:2] == ["remove transformer up.1"] * 2
    assert decisions[0].values[0].value == 0.0
    assert all(a.value <= b.value for a, b in zip(decisions[0].values, decisions[0].values[1:], strict=False))
    assert decisions[-1].step_ms <= target
    assert [decision.step_ms for decision in decisions] == [
        pytest.approx(table.step_ms(decision.unet)) for decision in decisions
    ]
    mid = Action(TRANSFORMER, "mid", -1)
    worth_of_mid = next(each for each in decisions[0].values if each.action == mid)
    assert worth_of_mid.value == pytest.approx(50.0 / (64 / 500))


def test_what_fits_below_the_target_is_repeated() -> None:
    table = table_of()
    (only,) = evolve(WIDE, table, lambda config: float(blocks_at(config)["mid"]), table.step_ms(WIDE) + 64 / 500)
    assert str(only.action) == "add transformer mid" and only.unet.mid is not None and only.unet.mid.transformers == 2


def test_a_target_that_cannot_be_reached_and_a_quality_that_is_none() -> None:
    with pytest.raises(ConfigError, match="target: expected one that this network can reach, got 0.1 ms"):
        evolve(WIDE, table_of(), lambda config: 0.0, 0.1)
    with pytest.raises(ConfigError, match="quality: expected a finite number, got nan"):
        evolve(WIDE, table_of(), lambda config: float("nan"), 5.0)


def test_the_evolution_is_drawn(tmp_path: Path) -> None:
    decisions = evolve(WIDE, table_of(), lambda config: float(sum(blocks_at(config).values())), 9.5)
    draw_evolution(decisions, 9.0, table_of(), tmp_path / "evolution.png")
    assert (tmp_path / "evolution.png").read_bytes()[:4] == b"\x89PNG"
