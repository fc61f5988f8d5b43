"""Rounding in float against torch's own integers, and against PyTorch's operations for dynamic ranges."""

from __future__ import annotations

import pytest
import torch
from executorch.backends.xnnpack.quantizer import xnnpack_quantizer_utils  # noqa: F401  # registers the operations

from export.executorch.quantize.rounding import (
    LEAST_SCALE,
    Range,
    rounded,
    rounded_at_run_time,
    rounded_weight,
)


def random(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(24, 16), (24, 16, 3, 3)])
def test_a_weight_is_rounded_as_torchs_integers_are(shape: tuple[int, ...]) -> None:
    weight = random(*shape) * torch.logspace(-4, 2, shape[0]).view(-1, *[1] * (len(shape) - 1))
    scales = weight.flatten(1).abs().amax(dim=1) / 127
    integers = torch.quantize_per_channel(weight, scales, torch.zeros(shape[0]), 0, torch.qint8)
    assert torch.equal(rounded_weight(weight), integers.dequantize())


def test_a_channel_of_zeros_stays_zero() -> None:
    weight = random(4, 8)
    weight[2] = 0
    assert torch.equal(rounded_weight(weight)[2], torch.zeros(8))


def test_a_static_range_is_torchs() -> None:
    x, by = random(2, 5, 7), Range(0.03, -20)
    assert torch.equal(rounded(x, by), torch.quantize_per_tensor(x, by.scale, by.zero_point, torch.qint8).dequantize())


def test_each_row_of_a_linear_layers_input_has_its_own_range() -> None:
    x = random(3, 6, 16) * torch.logspace(-2, 2, 6)[None, :, None]
    scale, zero = torch.ops.quantized_decomposed.choose_qparams_per_token_asymmetric(x, torch.int8)
    integers = torch.ops.quantized_decomposed.quantize_per_token(x, scale, zero, -128, 127, torch.int8)
    wanted = (integers - zero) * scale
    assert (rounded_at_run_time(x, "linear") - wanted).abs().max() <= 1.01 * scale.max()
    assert signal_to_noise(x, rounded_at_run_time(x, "linear")) > 40


def test_each_picture_of_a_convolutions_input_has_its_own_range() -> None:
    x = random(2, 16, 4, 4) * torch.tensor([1.0, 100.0]).view(2, 1, 1, 1)
    for picture, result in zip(x, rounded_at_run_time(x, "convolution"), strict=True):
        scale, zero = torch.ops.quantized_decomposed.choose_qparams(picture, -128, 127, LEAST_SCALE, torch.int8)
        integers = torch.quantize_per_tensor(picture, float(scale), int(zero), torch.qint8)
        assert (result - integers.dequantize()).abs().max() <= 1.01 * float(scale)


def signal_to_noise(wanted: torch.Tensor, got: torch.Tensor) -> float:
    return float(10 * torch.log10(wanted.square().sum() / (wanted - got).square().sum()))
