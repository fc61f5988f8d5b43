"""What is measured in other orders of sums: calls that an order alone decides, and calls that a choice fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest
import torch
from torch import Tensor

from export.mixed.choose import MARGIN_DB, Effort, proved
from export.mixed.judge import Judge, Sample
from export.mixed.rounded import ORDER, PART, HalfProgram, Outputs, Wide, reorder

EFFORT = Effort(trials=20, judged=1, proved=4, rounds=2)
LIMIT_DB = 20.0


class Network:
    """A network of which every module costs some dB in float16, and every other order of sums what the sample says."""

    stage = "denoise"

    def __init__(self, **costs: float) -> None:
        self.costs, self.modules = costs, dict.fromkeys(costs, 1)

    def run(self, inputs: Sample, wide: Wide, order: int | None = None) -> Outputs:
        lost = sum(float(inputs.get(name, cost)) for name, cost in self.costs.items() if not wide(name))
        return (torch.tensor(lost + (0.0 if order is None else float(inputs["order"]))),)


def judge(network: Network, calibration: list[Sample], gates: list[Sample]) -> Judge:
    found = Judge(cast(HalfProgram, network), lambda sample, wanted, got: LIMIT_DB - float(got[0] - wanted[0]))
    found.add(gates, gate=True)
    found.add(calibration)
    return found


def sample(order: float = 0.0, **costs: float) -> Mapping[str, Tensor]:
    return {name: torch.tensor(value) for name, value in {"order": order, **costs}.items()}


def chosen(network: Network, calibration: list[Sample], gates: list[Sample]) -> frozenset[str]:
    return proved(judge(network, calibration, gates), frozenset(), EFFORT, 0.0)


def test_a_call_that_another_order_decides_is_left_out() -> None:
    network = Network(a=1.0, b=30.0)
    assert chosen(network, [sample(), sample(order=40.0)], [sample()]) == {"b"}


def test_such_a_call_of_the_gates_asks_for_float32() -> None:
    network = Network(a=1.0, b=30.0)
    assert chosen(network, [sample()], [sample(order=40.0)]) == {"a", "b"}
    assert chosen(network, [sample(order=40.0)], []) == {"a", "b"}


def test_an_order_of_sums_counts_against_a_choice() -> None:
    """Neither the module nor the order alone takes the call below its margin."""
    network, nearly = Network(a=1.0, b=10.0), LIMIT_DB - MARGIN_DB - 8.0
    assert chosen(network, [], [sample()]) == frozenset()
    assert chosen(network, [], [sample(order=nearly)]) == {"b"}


def test_what_a_choice_fails_joins_the_search() -> None:
    """Each sample is hard for another module, and the first choice is made on one of them."""
    network = Network(a=1.0, b=1.0, c=1.0)
    hard: list[Sample] = [sample(a=30.0), sample(b=30.0), sample()]
    assert chosen(network, [], hard) == {"a", "b"}


@pytest.mark.parametrize("part", [PART, 1000])
@pytest.mark.parametrize("shape", [(10_000,), (5, 2000)])
def test_another_order_is_a_part_of_a_sum_and_repeats(
    part: int, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole or in parts, contiguous or not; 10,000 numbers in all."""
    monkeypatch.setattr("export.mixed.rounded.PART", part)
    value = torch.linspace(-1e6, 1e6, 10_000).reshape(shape).transpose(0, -1)
    again = [value.clone() for _ in range(3)]
    for each, seed in zip(again, (1, 1, 2), strict=True):
        reorder((each, None), torch.Generator().manual_seed(seed))
    assert torch.equal(again[0], again[1]) and not torch.equal(again[0], again[2])
    changed = (again[0] - value) / value
    assert abs(float(changed.std()) / ORDER - 1) < 0.05
