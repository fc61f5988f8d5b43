"""The place where float16 leaves PyTorch, by module and operation."""

from __future__ import annotations

import math

import pytest

from export.mixed.departure import Departure, find_departure
from export.mixed.rounded import everything, nothing
from tests.export.mixed.conftest import Measured

ATTENTION = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1"
PLACES = {
    ("denoise", "scores"): (ATTENTION, "matmul"),
    ("denoise", "stream"): ("unet.conv_in", "conv2d"),
    ("encode_text", "text"): ("text_encoder.encoder.layer.0.output.dense", "linear"),
    ("decode_image", "decoder"): ("autoencoder.decoder.conv_in", "conv2d"),
    ("decode_image", "weight"): ("autoencoder.decoder.conv_norm_out", "mul"),
}


@pytest.mark.parametrize(("stage", "overflow"), PLACES)
def test_an_overflow_is_found_where_it_begins(measured: Measured, stage: str, overflow: str) -> None:
    half, samples = measured(stage, overflow)
    found = find_departure(half, samples[0], nothing)
    assert found is not None and (found.module, found.operation) == PLACES[stage, overflow]
    assert found.largest > 65504 and math.isnan(found.alone_db)
    place = f"float16 leaves PyTorch at {found.module} ({found.operation}): largest value "
    assert str(found).startswith(place) and str(found).endswith("expected at most 65504")


def test_lost_digits_are_found_in_the_softmax_that_loses_them(measured: Measured) -> None:
    half, samples = measured("denoise", "digits")
    found = find_departure(half, samples[0], nothing)
    assert found is not None and (found.module, found.operation) == (ATTENTION, "softmax")
    assert 1000 < found.largest < 65504 and found.alone_db < 60
    assert "dB with float16 there alone" in str(found)


def test_nothing_is_found_where_nothing_is_rounded(measured: Measured) -> None:
    half, samples = measured("decode_image", "decoder")
    assert find_departure(half, samples[0], everything) is None


def test_places_that_lose_almost_as_much_are_named() -> None:
    found = Departure("denoise", "sub", 1.0, 62.2, ("unet.a.attn1 (softmax)", "unet.b.attn1 (softmax)"))
    assert str(found).endswith("largest value 1 of 65504; almost as far at unet.a.attn1 (softmax) and 1 more")
