"""The Neural Engine's layout against torch's own modules, for every architecture, before any conversion."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.rewrites.neural_engine import look_up, rewrite
from export.rewrites.split_einsum import (
    ChannelNorm,
    Projection,
    channels_last,
    positions_last,
    split_einsum_attention,
)
from export.signatures import IMAGE_STAGES
from export.stages import build_stage
from mobile_diffusion.config import ModelConfig
from tests.export.comparing import arrays_of, assert_close, outputs_of
from tests.tiny_models import BK_TINY, LCM, SD1, SD2, TINY, WHOLE_TEXT, RandomModel

ARCHITECTURES = {"bert": TINY, "sd1": SD1, "sd2": SD2, "bk-sdm-tiny": BK_TINY, "lcm": LCM, "whole text": WHOLE_TEXT}
FLOAT32_DB = 110.0
"""Sums in another order."""


@pytest.mark.parametrize("stage", IMAGE_STAGES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_stage_of_every_architecture(name: str, stage: str) -> None:
    made = build_stage(RandomModel(ARCHITECTURES[name]), stage)
    arrays = arrays_of(made)
    changed = dataclasses.replace(made, module=rewrite(made.module))
    assert_close(outputs_of(made, arrays), outputs_of(changed, arrays), FLOAT32_DB)


@pytest.mark.parametrize("stage", IMAGE_STAGES)
def test_weights_are_shared_and_named_as_before(stage: str) -> None:
    module = build_stage(RandomModel(SD2), stage).module
    before = {name: (type(child), child) for name, child in module.named_modules()}
    changed = rewrite(module)
    assert {name: (type(child), child) for name, child in module.named_modules()} == before, "the original is kept"
    kept = module.state_dict()
    assert list(changed.state_dict()) == list(kept)
    for name, tensor in changed.state_dict().items():
        assert tensor.data_ptr() == kept[name].data_ptr() and tensor.numel() == kept[name].numel()
    assert not any(type(child) in (nn.Linear, nn.LayerNorm) for child in changed.modules())


def test_a_projection_is_a_view_that_convolves() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(5, 7)
    projection = Projection(linear)
    assert projection.weight.shape == (7, 5, 1, 1) and projection.weight.data_ptr() == linear.weight.data_ptr()
    tokens = torch.randn(2, 3, 5)
    torch.testing.assert_close(channels_last(projection(positions_last(tokens))), linear(tokens))


def channel_norm(width: int, epsilon: float) -> tuple[nn.LayerNorm, ChannelNorm]:
    """torch's norm with random scale and shift, and ours."""
    torch.manual_seed(0)
    norm, ours = nn.LayerNorm(width, epsilon), ChannelNorm(width, epsilon)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict(norm.state_dict())
    return norm, ours


@pytest.mark.parametrize("epsilon", [1e-5, 1e-12])
def test_channel_norm_is_torchs(epsilon: float) -> None:
    norm, ours = channel_norm(12, epsilon)
    x = torch.randn(2, 5, 12) * 3 - 4
    torch.testing.assert_close(channels_last(ours(positions_last(x))), norm(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 300.0, 1e4])
def test_channel_norm_holds_in_half_precision(magnitude: float) -> None:
    """Where the squares of the differences alone would be infinite, too: 300^2 is beyond float16."""
    norm, ours = channel_norm(64, 1e-5)
    x = (torch.randn(2, 5, 64) * magnitude).half()
    got = channels_last(ours.half()(positions_last(x))).float()
    torch.testing.assert_close(got, norm(x.float()), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-12])
def test_equal_channels_become_the_bias(epsilon: float) -> None:
    _, ours = channel_norm(8, epsilon)
    x = torch.full((1, 8, 1, 2), 3.0, dtype=torch.float16)
    got = ours.half()(x)
    assert torch.equal(got, ours.bias[None, :, None, None].expand(1, 8, 1, 2))


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_torchs(heads: int, masked: bool) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, length, 12, dtype=torch.float64) for length in (7, 9, 9))
    mask = torch.randn(1, 1, 7, 9, dtype=torch.float64) if masked else None  # (1, 1, Q, K)
    apart = [x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value)]  # (B, heads, N, size) each
    expected = F.scaled_dot_product_attention(*apart, mask).transpose(1, 2).flatten(2)
    rows = [positions_last(x) for x in (query, key, value)]
    got = split_einsum_attention(*rows, heads, None if mask is None else mask.permute(0, 3, 1, 2))
    torch.testing.assert_close(channels_last(got), expected)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_table_is_read_exactly(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    table = torch.randn(shape).to(dtype)
    for step in range(5):
        index = torch.tensor([step], dtype=torch.int32)
        assert torch.equal(look_up(table, 0, index), table.index_select(0, index))
    assert not look_up(table, 0, torch.tensor([5])).any(), "outside of the table"


@pytest.mark.parametrize(("dim", "index"), [(1, [0]), (0, [0, 1])])
def test_other_ways_to_read_a_table_are_refused(dim: int, index: list[int]) -> None:
    with pytest.raises(ValueError, match="expected one row of the first axis"):
        look_up(torch.zeros(3, 3), dim, torch.tensor(index))


def test_no_tensor_of_the_graph_has_more_than_four_axes(tiny_config: ModelConfig) -> None:
    stage = build_stage(RandomModel(tiny_config), "denoise")
    program = torch.export.export(rewrite(stage.module), (), stage.example())
    values = [node.meta.get("val") for node in program.graph.nodes]
    assert max(value.dim() for value in values if isinstance(value, Tensor)) == 4
