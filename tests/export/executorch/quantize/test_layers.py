"""Which layers of a stage are worth quantizing: those of the model, and none that rewriting has added."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.executorch.quantize.layers import find_layers
from export.rewrites.xnnpack import rewrite
from export.stages import build_stage
from mobile_diffusion.config import ModelConfig
from tests.tiny_models import SD1, SD2, TINY, RandomModel


@pytest.mark.parametrize(
    ("config", "name"),
    [(TINY, "denoise"), (TINY, "encode_text"), (TINY, "decode_image"), (SD1, "encode_image"), (SD2, "denoise")],
    ids=["unet", "bert", "decoder", "encoder", "sd2"],
)
def test_every_large_layer_is_found_and_no_norm(config: ModelConfig, name: str) -> None:
    stage = build_stage(RandomModel(config), name)
    found = find_layers(torch.export.export(rewrite(stage.module), (), stage.example()).module())
    ours = sum(layer.weights for layer in {layer.name: layer for layer in found.layers}.values())
    real = [each for each in stage.module.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    # the time step's projections become a table, an encoder or decoder leaves its other half unused
    assert ours > (0.3 if name.endswith("image") else 0.6) * sum(each.weight.numel() for each in real)
    assert not any("norm" in layer.name for layer in found.layers)
    assert not any("norm" in each for each in found.left)
    assert all("channels in" in why or "work" in why for why in found.left.values())


def test_the_work_of_layers_is_counted() -> None:
    module = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.Flatten(2), nn.Linear(64, 48))
    found = find_layers(torch.export.export(module.eval(), (torch.zeros(1, 16, 16, 16),)).module())
    assert [(layer.name, layer.kind, layer.weights, layer.products) for layer in found.layers] == [
        ("0", "convolution", 4608, 4608 * 64),
        ("2", "linear", 3072, 3072 * 32),
    ]


def test_a_layer_without_work_stays_in_float() -> None:
    module = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4096), nn.Linear(4096, 512))
    found = find_layers(torch.export.export(module.eval(), (torch.zeros(1, 16),)).module())
    assert found.left == {"0": "has too little work"}
