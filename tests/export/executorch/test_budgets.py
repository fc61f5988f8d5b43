"""How every preset's stages are divided: one delegate, look-ups outside of it, and few transpositions inside."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from export.executorch.inspection import delegated_nodes
from export.executorch.lower import convert, inspect, rewritten
from export.rewrites.xnnpack import count_rewrites
from export.stages import ExportStage, build_stage
from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ClipTextConfig, ModelConfig, UNetConfig
from mobile_diffusion.presets import PRESETS, preset
from tests.tiny_models import RandomModel

NARROW = 10
SIDE = 64
"""Pixels of a narrowed model's pictures; the graph is the same at every size."""
LOOK_UPS = {"aten::index_select.out", "index_select.out"}
TEXT_LOOK_UPS = {"embedding", "select_copy", "unsqueeze_copy", "_to_dim_order_copy"}
HEADS, ONE_HEAD, BOUNDARY = 4, 1, 4
"""Transpositions: queries, keys, values and results of attention with several heads; keys of one head; of inputs and
outputs, which lie channels first."""
QUICK = ("emoji",)
SAME_GRAPH = {"small-sd": "bk-sdm-base", "tiny-sd": "bk-sdm-tiny", "sd21-v": "sd21-base"}
"""Presets whose networks are another's, but for the prediction that the schedule makes of their output."""


def narrowed(config: ModelConfig) -> ModelConfig:
    """Stable Diffusion's relatives with every width divided by 10 and a small picture; the emoji model as it is."""
    if config.unet.down[0].channels % (NARROW * config.unet.groups):
        return config
    unet, autoencoder, text = config.unet, config.autoencoder, config.text
    if isinstance(autoencoder, AutoencoderConfig):
        autoencoder = dataclasses.replace(autoencoder, channels=(32, 32, 64, 64))
    assert isinstance(text, ClipTextConfig)
    text = dataclasses.replace(text, vocabulary=99, width=64, heads=4, layers=2, intermediate=128)
    return dataclasses.replace(
        config, height=SIDE, width=SIDE, unet=narrow(unet, text.width), autoencoder=autoencoder, text=text
    )


def narrow(unet: UNetConfig, context: int) -> UNetConfig:
    """A U-Net with every width divided by 10, and heads that divide it."""
    sides = {
        side: tuple(dataclasses.replace(stage, channels=stage.channels // NARROW) for stage in getattr(unet, side))
        for side in ("down", "up")
    }
    sides = {side: tuple(dataclasses.replace(each, heads=4) for each in stages) for side, stages in sides.items()}
    mid = unet.mid and dataclasses.replace(unet.mid, channels=unet.mid.channels // NARROW, heads=4)
    return dataclasses.replace(unet, **sides, mid=mid, context_width=context)


def presets() -> list[object]:
    """Every preset with a graph of its own; those that take long are for the full run."""
    names = [name for name in PRESETS if name not in SAME_GRAPH]
    return [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.full]) for name in names]


def test_presets_left_out_have_the_networks_of_others() -> None:
    for name, other in SAME_GRAPH.items():
        found, wanted = preset(name), preset(other)
        assert (found.unet, found.autoencoder, found.text) == (wanted.unet, wanted.autoencoder, wanted.text)


@pytest.mark.parametrize("stage", ["denoise", "decode_image"])
@pytest.mark.parametrize("name", presets())
def test_a_stage_is_one_delegate_with_few_transpositions(name: str, stage: str) -> None:
    built = build_stage(RandomModel(narrowed(preset(name))), stage)
    exported = rewritten(built)
    with delegated_nodes() as nodes:
        found = inspect(convert(built, exported), stage)
    assert found.delegates == 1
    assert set(found.undelegated) <= LOOK_UPS
    assert sum(found.undelegated.values()) <= len(built.inputs) + 2
    check_transpositions(nodes, count_rewrites(exported))


@pytest.mark.parametrize("name", ["emoji"])
def test_the_text_encoder_is_delegated_but_for_its_look_up(name: str) -> None:
    built: ExportStage = build_stage(RandomModel(preset(name)), "encode_text")
    found = inspect(convert(built), "encode_text")
    assert found.delegates <= 2
    assert {name.split(".")[0] for name in found.undelegated} <= TEXT_LOOK_UPS
    assert found.undelegated["embedding.out"] == 1


def check_transpositions(nodes: list[Counter[str]], rewrites: dict[str, int]) -> None:
    """Those of attention's heads, one for each upsampling, and those of inputs and outputs."""
    budget = (
        HEADS * rewrites.get("attention by parts", 0)
        + ONE_HEAD * rewrites.get("pixel attention by parts", 0)
        + rewrites.get("convolution before upsampling", 0)
        + BOUNDARY
    )
    assert sum(counter["StaticTranspose"] for counter in nodes) <= budget
