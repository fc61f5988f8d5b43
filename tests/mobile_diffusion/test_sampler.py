"""The loop and guidance, over torch tensors and numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mobile_diffusion.sampler import combine_guidance, sample


def test_guidance_is_a_line_through_both_predictions() -> None:
    null, conditional = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(combine_guidance(null, conditional, 0.0), null)
    torch.testing.assert_close(combine_guidance(null, conditional, 1.0), conditional)
    torch.testing.assert_close(combine_guidance(null, conditional, 3.0), 3 * conditional - 2 * null)


def test_guidance_scale_may_be_a_tensor() -> None:
    null, conditional = torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2)
    scale = torch.tensor([2.5])
    assert torch.equal(combine_guidance(null, conditional, scale), torch.full((1, 4, 2, 2), 2.5))


@pytest.mark.parametrize("start", [torch.ones(2), np.ones(2)])
def test_sample_applies_every_step_in_order(start: Any) -> None:
    seen: list[tuple[int, float]] = []
    result = sample(lambda x, i: x * 2 + i, start, 3, lambda i, x: seen.append((i, float(x[0]))))
    assert seen == [(0, 2.0), (1, 5.0), (2, 12.0)]
    assert type(result) is type(start) and float(result[1]) == 12.0


def test_sample_of_no_steps_is_the_noise() -> None:
    start = torch.ones(2)
    assert sample(lambda x, i: x * 0, start, 0) is start
