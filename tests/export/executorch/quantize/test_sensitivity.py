"""What rounding one layer costs, measured against a module in which that layer's weight is rounded by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.executorch.quantize import sensitivity
from export.executorch.quantize.layers import QuantizedLayer, find_layers
from export.executorch.quantize.ranges import find_ranges
from export.executorch.quantize.sensitivity import DYNAMIC, FLOAT, STATIC, LayerErrors, choose
from mobile_diffusion.decibels import share_db
from mobile_diffusion.errors import ExportError


class Branches(nn.Module):
    """Two layers in sequence, and one beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.beside = (nn.Linear(32, 32) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x))) + self.beside(x)


@pytest.fixture(scope="module")
def branches() -> nn.Module:
    torch.manual_seed(2)
    return Branches().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def samples() -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(4)
    return [{"x": torch.randn(1, 12, 32, generator=generator)} for _ in range(3)]


def hand_rounded(layer: nn.Linear, x: torch.Tensor, by: object) -> torch.Tensor:
    """A layer in torch's own integers: input and output of a static range, weights a channel."""
    scales = layer.weight.abs().amax(dim=1) / 127
    weight = torch.quantize_per_channel(layer.weight, scales, torch.zeros(len(scales)), 0, torch.qint8).dequantize()

    def integers(y: torch.Tensor, by: object) -> torch.Tensor:
        return torch.quantize_per_tensor(y, by.scale, by.zero_point, torch.qint8).dequantize()  # type: ignore[attr-defined]

    return integers(nn.functional.linear(integers(x, by.input), weight, layer.bias), by.output)  # type: ignore[attr-defined]


def test_the_cost_of_a_layer_is_that_of_rounding_it_by_hand(
    branches: nn.Module, samples: list[dict[str, torch.Tensor]]
) -> None:
    module = torch.export.export(branches, (samples[0]["x"],)).module()
    found = find_layers(module).layers
    assert [layer.name for layer in found] == ["first", "second", "beside"]
    ranges = find_ranges(module, found, samples)
    measured = LayerErrors(module, ranges, samples)
    shares = []
    for x in (sample["x"] for sample in samples):
        hidden = hand_rounded(branches.get_submodule("first"), x, ranges[found[0].node])  # type: ignore[arg-type]
        wanted, got = branches(x), branches.second(torch.relu(hidden)) + branches.beside(x)  # type: ignore[operator]
        shares.append(float((wanted - got).square().sum() / wanted.square().sum()))
    assert measured.alone(found[0], STATIC) == pytest.approx(sum(shares) / len(shares), rel=1e-3)
    together = measured.together(dict.fromkeys(found, STATIC))
    assert share_db(together) == pytest.approx(share_db(sum(measured.alone(layer, STATIC) for layer in found)), abs=2)
    assert measured.together(dict.fromkeys(found, FLOAT)) == 0


def layer(name: str) -> QuantizedLayer:
    return QuantizedLayer(name, name, "linear", 1024, 1024)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (0.0, {"a": STATIC, "b": STATIC, "c": STATIC}),
        (18.0, {"a": DYNAMIC, "b": STATIC, "c": STATIC}),
        (28.0, {"a": DYNAMIC, "b": FLOAT, "c": STATIC}),
        (35.0, {"a": DYNAMIC, "b": FLOAT, "c": FLOAT}),
        (60.0, {"a": FLOAT, "b": FLOAT, "c": FLOAT}),
    ],
)
def test_the_costliest_layers_leave_static_rounding_first(target: float, expected: dict[str, str]) -> None:
    static, dynamic = {"a": 0.1, "b": 0.01, "c": 0.001}, {"a": 0.0002, "b": 0.009, "c": 0.001}
    layers = [layer(name) for name in "cba"]
    choices = choose(layers, lambda each, way: (static if way == STATIC else dynamic)[each.name], target)
    assert {name: choice.way for name, choice in choices.items()} == expected
    assert choices["a"].static_db == pytest.approx(10)


def test_a_target_out_of_reach_does_not_touch_layers_that_cost_nothing() -> None:
    costs = {"a": 0.5, "b": 1e-9}
    choices = choose([layer(name) for name in costs], lambda each, way: costs[each.name], 60.0)
    assert (choices["a"].way, choices["b"].way) == (FLOAT, STATIC)


def test_an_output_of_zeros_cannot_be_measured(samples: list[dict[str, torch.Tensor]]) -> None:
    with torch.no_grad():
        module = torch.export.export(nn.Linear(32, 32, bias=False), (samples[0]["x"],)).module()
        next(module.parameters()).zero_()
        with pytest.raises(ExportError, match="finite outputs that are not zero"):
            LayerErrors(module, {}, [{"input": sample["x"]} for sample in samples])


def test_a_layer_that_is_not_finite_when_it_is_rounded_is_named(
    branches: nn.Module, samples: list[dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = torch.export.export(branches, (samples[0]["x"],)).module()
    found = find_layers(module).layers
    measured = LayerErrors(module, find_ranges(module, found, samples), samples)
    monkeypatch.setattr(sensitivity, "rounded", lambda x, by: x * torch.nan)
    with pytest.raises(ExportError, match="second: expected finite outputs when it is rounded, got an error of nan"):
        measured.together({found[1]: STATIC})
