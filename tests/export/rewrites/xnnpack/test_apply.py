"""Rewrites of whole stages: by name, counted, sharing weights, and with the same result in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from export.rewrites.xnnpack import count_rewrites, rewrite
from export.rewrites.xnnpack.norms import GroupNormByConvolution
from export.rewrites.xnnpack.time import Columns
from export.stages import ExportStage, build_stage
from mobile_diffusion.blocks import Upsample
from mobile_diffusion.config import ModelConfig, UNetLevel
from tests.tiny_models import BK_TINY, LCM, SD1, SD2, WHOLE_TEXT, RandomModel

LATE_TEXT = dataclasses.replace(
    SD1,
    unet=dataclasses.replace(
        SD1.unet,
        down=(UNetLevel(32, 1, 0), UNetLevel(64, 1, 0)),
        mid=None,
        up=(UNetLevel(64, 2, 1), UNetLevel(32, 2, 0)),
    ),
)
"""The text comes in on the way up only: every skip is of one picture."""
TEXT_WITHIN = dataclasses.replace(
    SD1,
    unet=dataclasses.replace(
        SD1.unet,
        down=(UNetLevel(32, 1, 0), UNetLevel(64, 1, 0)),
        mid=UNetLevel(64, 1, 0),
        up=(UNetLevel(64, 2, 0), UNetLevel(32, 2, 2)),
    ),
)
"""The text comes in between two ResNet blocks on the way up, as evolved networks may have it."""
LATE_TEXT_AND_WHOLE = dataclasses.replace(LATE_TEXT, unet=dataclasses.replace(LATE_TEXT.unet, pooled_context=True))
"""An embedding of the whole text reaches every block, so no block has one picture for both evaluations."""
NETWORKS = {
    **{"sd1": SD1, "sd2": SD2, "bk-tiny": BK_TINY, "lcm": LCM, "late text": LATE_TEXT, "text within": TEXT_WITHIN},
    **{"whole text": WHOLE_TEXT, "late text and whole": LATE_TEXT_AND_WHOLE},
}
STAGES = ("denoise", "decode_image", "encode_image", "encode_text")


def doubled(stage: ExportStage) -> dict[str, Tensor]:
    """Seeded inputs in float64."""
    torch.manual_seed(5)
    made = {spec.name: torch.randn(spec.shape, dtype=torch.float64) for spec in stage.inputs}
    integers = {spec.name: torch.ones(spec.shape, dtype=torch.int32) for spec in stage.inputs if spec.dtype == "int32"}
    return made | integers


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_rewritten_stage_is_the_stage(name: str, stage: str) -> None:
    """In float64 but for the eight digits of the constants that the norms' rewrites hold in float32."""
    built = build_stage(RandomModel(NETWORKS[name]), stage)
    module, changed = built.module.double(), rewrite(built.module).double()
    inputs = doubled(built)
    with torch.no_grad():
        torch.testing.assert_close(changed(**inputs), module(**inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [SD1, LATE_TEXT, TEXT_WITHIN])
def test_both_evaluations_share_what_comes_before_the_text(config: ModelConfig) -> None:
    built = build_stage(RandomModel(config), "denoise")
    changed = rewrite(built.module)
    sizes: list[int] = []
    for name in ("unet.conv_in", "unet.conv_out"):
        changed.get_submodule(name).register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    with torch.no_grad():
        changed(**built.example())
    assert sizes == [1, 2]


@pytest.mark.parametrize("config", [SD1, WHOLE_TEXT])
def test_the_time_is_one_table_without_the_layers_that_made_it(config: ModelConfig) -> None:
    built = build_stage(RandomModel(config), "denoise")
    changed = rewrite(built.module)
    columns = [child for child in changed.modules() if isinstance(child, Columns)]
    assert changed.times.shape == (len(built.module.times), sum(column.width for column in columns))
    assert not [name for name, _ in changed.named_parameters() if "time_emb_proj" in name]
    assert [name for name, _ in built.module.named_parameters() if "time_emb_proj" in name]


def test_only_the_named_rewrites_are_applied() -> None:
    module = build_stage(RandomModel(SD1), "denoise").module
    kinds = [type(child) for child in module.modules()]
    assert [type(child) for child in rewrite(module, []).modules()] == kinds
    found = [type(child) for child in rewrite(module, ["group norm by convolution"]).modules()]
    assert nn.LayerNorm in found
    assert found.count(GroupNormByConvolution) == kinds.count(nn.GroupNorm) > 0 == found.count(nn.GroupNorm)
    with pytest.raises(KeyError):
        rewrite(module, ["no such rewrite"])


def test_what_is_at_work_is_counted_in_the_program() -> None:
    """The decoder's program holds none of the encoder's norms, though the module does."""
    built = build_stage(RandomModel(SD1), "decode_image")
    norms = [name for name, child in built.module.named_modules() if isinstance(child, nn.GroupNorm)]
    used = [name for name in norms if ".decoder." in name]
    counts = count_rewrites(torch.export.export(rewrite(built.module), (), built.example()))
    assert counts == {
        "group norm by convolution": len(used),
        "convolution before upsampling": 1,
        "pixel attention by parts": 1,
    }
    assert len(used) < len(norms)
    assert count_rewrites(torch.export.export(built.module, (), built.example())) == {}


def test_a_stage_keeps_its_weights_and_its_result(tiny_stages: Mapping[str, ExportStage]) -> None:
    module = tiny_stages["decode_image"].module
    before = {name: type(child) for name, child in module.named_modules()}
    changed = rewrite(module)
    kinds = (nn.GroupNorm, nn.LayerNorm, Upsample)
    assert not any(isinstance(child, kinds) for child in changed.modules())
    assert {name: type(child) for name, child in module.named_modules()} == before
    pointers = {tensor.data_ptr() for tensor in module.parameters()}
    assert all(tensor.data_ptr() in pointers for tensor in changed.parameters())
    latents = torch.randn(1, 4, 16, 16)
    torch.testing.assert_close(changed(latents), module(latents), rtol=1e-5, atol=1e-5)
