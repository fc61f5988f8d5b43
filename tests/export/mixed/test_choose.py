"""The choice: what leaves float16 stays in float32, nothing else does, and the rest passes its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from export.mixed.choose import MARGIN_DB, Choice, Effort, choose, ranges, smallest
from export.mixed.departure import apart
from export.mixed.rounded import Outputs, Wide, everything, nothing
from export.stages import build_stage
from tests.export.mixed.conftest import Measured
from tests.export.overflow import overflowing
from tests.tiny_models import SMALL, emoji_words, untrained

LIMIT = 49.0
ATTENTION = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1"
CASES = {
    ("denoise", "scores"): (f"{ATTENTION}:own",),
    ("encode_text", "text"): ("text_encoder.encoder.layer.0.output",),
    ("decode_image", "weight"): (
        "autoencoder.decoder:own",
        "autoencoder.decoder.conv_norm_out",
        "autoencoder.decoder.conv_out",
    ),
}


def above(sample: Mapping[str, Tensor], wanted: Outputs, got: Outputs) -> float:
    return apart(wanted, got) - LIMIT


def chosen(measured: Measured, stage: str, *overflows: str) -> Choice:
    half, samples = measured(stage, *overflows)
    return choose(half, samples, above, nothing, Effort())


@pytest.mark.parametrize(("stage", "overflow"), CASES)
def test_only_what_leaves_float16_is_float32(measured: Measured, stage: str, overflow: str) -> None:
    found = chosen(measured, stage, overflow)
    assert found.names == CASES[stage, overflow]
    assert found.before_db == -math.inf and found.after_db >= MARGIN_DB


@pytest.mark.parametrize(("stage", "overflow"), [("denoise", "stream"), ("decode_image", "decoder")])
def test_a_stream_is_float32_and_the_branches_are_not(measured: Measured, stage: str, overflow: str) -> None:
    found = chosen(measured, stage, overflow)
    inside = ("conv1", "conv2", "to_q", "to_out", "ff", "attn2")
    assert any(name.endswith("conv_in") for name in found.names) and any(":own" in name for name in found.names)
    assert not [name for name in found.names if name.split(".")[-1].removesuffix(":own") in inside]
    assert found.before_db == -math.inf and found.after_db >= MARGIN_DB


@pytest.mark.parametrize("stage", ["encode_text", "denoise", "decode_image"])
def test_nothing_is_float32_where_float16_holds(measured: Measured, stage: str) -> None:
    found = chosen(measured, stage)
    assert (found.names, found.weights, found.largest) == ((), 0, {})
    assert found.before_db == found.after_db >= MARGIN_DB


def test_lost_digits_are_found_without_an_overflow(measured: Measured) -> None:
    half, samples = measured("denoise", "digits")
    found = choose(half, samples, above, nothing, Effort())
    everything_db = min(apart(half.run(each, everything), half.run(each, nothing)) for each in samples)
    assert everything_db < LIMIT and found.largest == {}
    assert 0 < found.weights < sum(half.modules.values()) and found.after_db >= MARGIN_DB


def test_what_is_asked_for_stays(measured: Measured) -> None:
    half, samples = measured("denoise")
    found = choose(half, samples, above, lambda module: module == ATTENTION, Effort())
    assert found.names == (f"{ATTENTION}:own",)


def test_ranges_are_those_of_pytorch(measured: Measured) -> None:
    """Compared with a hook on PyTorch's own module, which knows nothing of programs."""
    half, samples = measured("decode_image", "decoder")
    module = build_stage(overflowing(untrained(SMALL, emoji_words(12)), "decoder"), "decode_image").module
    seen: list[float] = []
    layer = module.get_submodule("autoencoder.decoder.conv_in")
    layer.register_forward_hook(lambda own, given, result: seen.append(float(result.abs().max())))
    with torch.inference_mode():
        for sample in samples:
            module(**sample)
    assert ranges(half, samples)["autoencoder.decoder.conv_in"] == pytest.approx(max(seen), rel=1e-5)


def test_the_largest_parts_become_float16_first() -> None:
    """A network of known errors: two of its parts cost more than is allowed, and one of them is divided."""
    modules = {"a.x": 100, "a.y": 1, "b": 10, "c.z": 50}
    costs = {"a.x": 0.1, "a.y": 1.0, "b": 2.0, "c.z": 0.2}

    def passes(wide: Wide) -> bool:
        return sum(cost for name, cost in costs.items() if not wide(name)) <= 0.5

    assert smallest(modules, set(), passes, 50) == ({"a.y", "b"}, ["a.x", "c"])


def test_what_was_not_tried_stays_in_float32() -> None:
    modules = {"a": 3, "b": 2, "c": 1}
    assert smallest(modules, set(), lambda wide: wide("c"), 1) == (set(modules), [])
    assert smallest(modules, set(), lambda wide: wide("c"), 2) == ({"b", "c"}, ["a"])


def test_a_later_search_divides_the_parts_of_an_earlier_one() -> None:
    modules = {"a.x": 3, "a.y": 2, "b": 1}
    assert smallest(modules, set(), lambda wide: wide("a.y"), 50, ["a", "b"]) == ({"a.y"}, ["a.x", "b"])
