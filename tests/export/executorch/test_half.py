"""Weights in half precision: half the file, and nothing lost but their rounding."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export.executorch.half import HalfEmbedding, halve_tables
from export.executorch.lower import lower
from export.executorch.mixed import half_program
from export.executorch.options import XnnpackOptions
from export.mixed.choose import Effort, choose
from export.mixed.departure import apart, find_departure
from export.mixed.names import spelled
from export.mixed.rounded import nothing
from export.runners.executorch import ExecuTorchRunner
from export.runners.torch import TorchRunner
from export.signatures import STAGES, TensorSpec
from export.stages import ExportStage, build_stage
from mobile_diffusion.decibels import snr_db
from tests.export.comparing import arrays_of, assert_close
from tests.export.overflow import overflowing
from tests.tiny_models import SD1, SMALL, RandomModel, emoji_words, untrained

ROUNDED_DB = 60.0
"""A weight rounded to 11 bits is off by 77 dB at worst; layers add up."""
HALF = XnnpackOptions("fp16")


def rounded(stage: ExportStage) -> ExportStage:
    """The stage with filters and tables as half precision holds them, for PyTorch to compute with."""
    module = halve_tables(stage).module
    for child in module.modules():
        if isinstance(child, (nn.Linear, nn.Conv2d)):
            child.weight = nn.Parameter(child.weight.detach().half().float(), requires_grad=False)
    return dataclasses.replace(stage, module=module)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_pytorchs_but_for_the_rounding(name: str, tmp_path: Path) -> None:
    stage = build_stage(RandomModel(SD1), name)
    arrays = arrays_of(stage)
    runner = ExecuTorchRunner.load(tmp_path, {name: lower(stage, tmp_path, HALF)}, threads=1)
    found = runner.run(name, **arrays)
    exact = TorchRunner({name: stage}, 1).run(name, **arrays)
    assert_close(exact, found, ROUNDED_DB)
    delegation = json.loads((tmp_path / f"{name}.json").read_text())["delegation"]
    assert delegation["delegates"] <= (2 if name == "encode_text" else 1)


class Filters(nn.Module):
    """Filters of every kind, large against all else: a table, linear layers, convolutions, one of them by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(2048, 64)
        self.linear = nn.Linear(64, 256)
        self.wide = nn.Conv2d(4, 256, 3, padding=1)
        self.narrow = nn.Conv2d(256, 64, 1)
        self.each = nn.Conv2d(64, 64, 3, padding=1, groups=64)

    def forward(self, tokens: Tensor) -> Tensor:
        """(1, 8) -> (1, 64, 8, 64)."""
        rows = self.linear(self.table(tokens)).unflatten(-1, (4, 64)).transpose(1, 2)  # (1, 4, 8, 64)
        return self.each(self.narrow(self.wide(rows)))


@pytest.fixture(scope="module")
def filters() -> ExportStage:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = Filters().eval().requires_grad_(False)
    output = TensorSpec("context", "float32", (1, 64, 8, 64))
    return ExportStage("encode_text", module, (TensorSpec("tokens", "int32", (1, 8)),), (output,))


def test_the_file_is_half_as_large_and_the_weights_stay(filters: ExportStage, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in filters.module.state_dict().items()}
    sizes = {}
    for precision in ("fp32", "fp16"):
        (tmp_path / precision).mkdir()
        path = lower(filters, tmp_path / precision, XnnpackOptions(precision))
        sizes[precision] = (tmp_path / precision / path).stat().st_size
    assert 0.5 < sizes["fp16"] / sizes["fp32"] < 0.55
    assert all(torch.equal(before[name], tensor) for name, tensor in filters.module.state_dict().items())


def test_nothing_but_the_rounding_is_lost(filters: ExportStage, tmp_path: Path) -> None:
    arrays = arrays_of(filters)
    runner = ExecuTorchRunner.load(tmp_path, {"encode_text": lower(filters, tmp_path, HALF)}, threads=1)
    known = rounded(filters)
    depthwise = known.module.get_submodule("each")
    depthwise.weight = filters.module.get_submodule("each").weight  # type: ignore[assignment]  # not in half on XNNPACK
    expected = TorchRunner({"encode_text": known}, 1).run("encode_text", **arrays)
    assert_close(expected, runner.run("encode_text", **arrays), 110.0)


def test_only_large_tables_are_halved(filters: ExportStage) -> None:
    assert isinstance(halve_tables(filters).module.get_submodule("table"), HalfEmbedding)
    small = dataclasses.replace(filters, module=nn.Sequential(nn.Embedding(16, 4)))
    assert isinstance(halve_tables(small).module.get_submodule("0"), nn.Embedding)


def test_a_mean_keeps_its_digits(tmp_path: Path) -> None:
    """Norms divide by the number of values: rounded, 1 / 12 would scale a mean that is large against the rest."""

    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.GroupNorm(4, 48)

        def forward(self, latents: Tensor) -> Tensor:
            return self.norm(latents + 300.0)

    specs = (TensorSpec("latents", "float32", (1, 48, 8, 8)),), (TensorSpec("image", "float32", (1, 48, 8, 8)),)
    stage = ExportStage("decode_image", Norm().eval().requires_grad_(False), *specs)
    runner = ExecuTorchRunner.load(tmp_path, {"decode_image": lower(stage, tmp_path, HALF)}, threads=1)
    arrays = arrays_of(stage)
    expected = TorchRunner({"decode_image": stage}, 1).run("decode_image", **arrays)
    assert_close(expected, runner.run("decode_image", **arrays), 70.0)


@pytest.mark.parametrize(("stage", "overflow"), [("decode_image", "weight"), ("decode_image", "filter")])
def test_a_weight_that_half_cannot_hold_stays_in_float32(stage: str, overflow: str, tmp_path: Path) -> None:
    """Naive, the picture is not finite; with the measured modules it is PyTorch's."""
    built = build_stage(overflowing(untrained(SMALL, emoji_words(12)), overflow), stage)
    program, arrays = half_program(built, HALF), arrays_of(built)
    sample = {name: torch.from_numpy(array) for name, array in arrays.items()}
    place = find_departure(program, sample, nothing)
    found = choose(program, [sample], lambda _, wanted, got: apart(wanted, got) - ROUNDED_DB, nothing, Effort(50))
    assert place is not None and found.names and place.module in found.names
    exact = TorchRunner({stage: built}, 1).run(stage, **arrays)
    drawn = {}
    for names in ("none", spelled(found.names)):
        (tmp_path / names).mkdir()
        runner = ExecuTorchRunner.load(
            tmp_path / names, {stage: lower(built, tmp_path / names, XnnpackOptions("fp16", names))}, threads=1
        )
        drawn[names] = runner.run(stage, **arrays)
    assert not snr_db(exact["image"], drawn["none"]["image"]) > 20
    assert_close(exact, drawn[spelled(found.names)], ROUNDED_DB)
