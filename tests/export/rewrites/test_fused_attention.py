"""Attention as one operation: in the exported graph, and equal to what it replaces."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from export.rewrites.fused_attention import rewrite
from export.stages import build_stage
from mobile_diffusion.config import ModelConfig
from tests.export.comparing import arrays_of, assert_close, outputs_of
from tests.tiny_models import SD1, TINY, RandomModel

FUSED = torch.ops.aten.scaled_dot_product_attention.default


@pytest.mark.parametrize(
    ("config", "name", "count"),
    [
        (TINY, "denoise", 10),
        (TINY, "decode_image", 1),
        (TINY, "encode_text", 2),
        (SD1, "encode_text", 2),
    ],
    ids=["unet", "decoder", "bert", "clip"],
)
def test_every_attention_is_fused(config: ModelConfig, name: str, count: int) -> None:
    stage = build_stage(RandomModel(config), name)
    fused = rewrite(stage.module)
    program = torch.export.export(fused, (), stage.example())
    assert len(program.graph.find_nodes(op="call_function", target=FUSED)) == count
    assert not program.graph.find_nodes(op="call_function", target=torch.ops.aten.softmax.int)
    arrays, changed = arrays_of(stage), dataclasses.replace(stage, module=program.module())
    assert_close(outputs_of(stage, arrays), outputs_of(changed, arrays), 110.0)
