"""Classifier-free guidance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mobile_diffusion.sampler import combine_guidance


def predictions() -> tuple[Tensor, Tensor]:
    null, conditional = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    return null, conditional


@pytest.mark.parametrize("scale", [1.5, 7.5, torch.tensor([3.0])])
def test_guidance_is_a_line_through_both_predictions(scale: Tensor | float) -> None:
    null, conditional = predictions()
    torch.testing.assert_close(combine_guidance(null, conditional, scale), null + scale * (conditional - null))


@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("tensor", [False, True])
def test_up_to_one_it_is_exactly_the_conditional_prediction(scale: float, tensor: bool) -> None:
    null, conditional = predictions()
    assert torch.equal(combine_guidance(null, conditional, torch.tensor([scale]) if tensor else scale), conditional)
