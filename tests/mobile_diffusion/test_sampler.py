"""Classifier-free guidance."""

from __future__ import annotations

import torch

from mobile_diffusion.sampler import combine_guidance


def test_guidance_is_a_line_through_both_predictions() -> None:
    null, conditional = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(combine_guidance(null, conditional, 0.0), null)
    torch.testing.assert_close(combine_guidance(null, conditional, 1.0), conditional)
    torch.testing.assert_close(combine_guidance(null, conditional, 3.0), 3 * conditional - 2 * null)


def test_guidance_scale_may_be_a_tensor() -> None:
    null, conditional = torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2)
    scale = torch.tensor([2.5])
    assert torch.equal(combine_guidance(null, conditional, scale), torch.full((1, 4, 2, 2), 2.5))
