"""Measuring a program in float16 holds few copies of its largest result: at 768 pixels attention scores have 3.4 GB."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.measuring.peak_memory import measure_call
from export.mixed.rounded import HalfProgram, nothing

TOKENS = 6144
COPIES = 4.2
"""A softmax holds its operand and its result in 32 bits, and the rounded one in 16 and in 32."""


class Attention(nn.Module):
    """Attention of some tokens to one another, with scores of their own."""

    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.mT).softmax(-1) @ x


def run(tokens: int) -> None:
    inputs = {"x": torch.randn(1, tokens, 4)}
    program = torch.export.export(Attention(), tuple(inputs.values()), strict=False)
    HalfProgram("denoise", program).run(inputs, nothing, order=1)


@pytest.mark.full
def test_copies_of_the_scores() -> None:
    small, large = (measure_call(run, tokens).peak_bytes for tokens in (64, TOKENS))
    assert large - small < COPIES * 4 * TOKENS**2
