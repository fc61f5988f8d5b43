"""The rewrites for Vulkan against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from export.rewrites.vulkan import gelu, rewrite
from export.stages import ExportStage

SHAPES = [(3, 1, 1), (3, 2, 1), (1, 1, 0), (3, 1, 0), (1, 2, 0), (5, 1, 2), (3, 3, 1)]


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES)
@pytest.mark.parametrize("height", [6, 7])
def test_pictures_below_one_another_are_convolved_as_a_batch(
    batch: int, kernel: int, stride: int, padding: int, height: int
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 5, kernel, stride=stride, padding=padding).double()
    x = torch.randn(batch, 3, height, 8, dtype=torch.float64)
    torch.testing.assert_close(rewrite(convolution)(x), convolution(x), rtol=1e-12, atol=1e-12)


def test_only_batches_are_laid_below_one_another() -> None:
    """A single picture is convolved as it is."""
    module, x = rewrite(nn.Conv2d(3, 5, 3, padding=1)), torch.zeros(1, 3, 4, 4)
    names = [str(node.target) for node in torch.export.export(module, (x,)).graph.nodes if node.op == "call_function"]
    assert names == ["aten.conv2d.default"]


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_torchs(approximate: str) -> None:
    x = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([0.0, 1e-30, -1e-30, 90.0, -90.0])]).double()
    error = gelu(x, approximate=approximate) - F.gelu(x, approximate=approximate)
    assert error.abs().max() < 3e-7
    assert (gelu(x.float(), approximate=approximate) - F.gelu(x.float(), approximate=approximate)).abs().max() < 1e-6


def test_a_stage_keeps_its_weights_and_its_result(tiny_stages: dict[str, ExportStage]) -> None:
    stage = tiny_stages["denoise"]
    changed = rewrite(stage.module)
    pointers = {tensor.data_ptr() for tensor in stage.module.parameters()}
    assert {tensor.data_ptr() for tensor in changed.parameters()} == pointers
    inputs = {name: torch.randn(x.shape) if x.is_floating_point() else x for name, x in stage.example().items()}
    torch.testing.assert_close(changed(**inputs), stage.module(**inputs), rtol=1e-4, atol=1e-4)
