"""The programs for Vulkan, as far as they can be known without a GPU.

The module that is lowered and the program up to the delegate compute what PyTorch does, the file holds one delegate
with the stage's inputs and outputs, and one in half precision is half as large.  What a GPU makes of it is not tested.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.backends.vulkan.serialization.vulkan_graph_builder import VkGraphBuilder
from executorch.backends.vulkan.serialization.vulkan_graph_schema import VkDataType, VkTensor
from executorch.exir._serialize._program import deserialize_pte_binary
from torch import nn

from export.executorch.options import VulkanOptions
from export.executorch.signature import read_delegation, read_signature
from export.executorch.vulkan import edge_program, half_program, lower, own_storage, typed_program
from export.mixed.names import spelled
from export.mixed.rounded import everything
from export.rewrites import attention_in_parts as parts
from export.signatures import TensorSpec
from export.stages import ExportStage, build_stage
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.decibels import snr_db
from tests.export.comparing import arrays_of, assert_close, outputs_of
from tests.tiny_models import BK_TINY, LCM, SD1, SD2, SMALL, RandomModel, emoji_words, untrained

LIMIT_DB = {"fp32": 100.0, "fp16": 40.0}
CASES = [
    ("sd1", SD1, "encode_text", "fp16"),
    ("sd1", SD1, "encode_image", "fp32"),
    ("sd2", SD2, "denoise", "fp16"),
    ("sd2", SD2, "encode_text", "fp32"),
    ("bk-tiny", BK_TINY, "decode_image", "fp16"),
    ("lcm", LCM, "denoise", "fp32"),
]
LONG = ("sd2", "denoise")
"""Minutes; the U-Net that `make test` lowers is the latent consistency model's."""
PARAMETERS = [
    pytest.param(*rest, id="-".join((name, *rest[1:])), marks=[pytest.mark.full] if (name, rest[1]) == LONG else [])
    for name, *rest in CASES
]
DTYPES = {"float32": 6, "int32": 3}
"""ExecuTorch's numbers for them."""


@pytest.mark.parametrize(("config", "stage", "precision"), PARAMETERS)
def test_a_stage_is_one_delegate(config: ModelConfig, stage: str, precision: str, tmp_path: Path) -> None:
    built = build_stage(RandomModel(config), stage)
    path = tmp_path / lower(built, tmp_path, VulkanOptions(precision))
    delegation = read_delegation(path)
    assert (delegation.delegates, delegation.undelegated) == (1, {})
    assert read_signature(path, stage) == (built.inputs, built.outputs)
    (plan,) = deserialize_pte_binary(path.read_bytes()).program.execution_plan
    assert (plan.name, [delegate.id for delegate in plan.delegates]) == (stage, ["VulkanBackend"])
    for indices, specs in ((plan.inputs, built.inputs), (plan.outputs, built.outputs)):
        found = [(int(tensor.scalar_type), tuple(tensor.sizes)) for tensor in (plan.values[i].val for i in indices)]
        assert found == [(DTYPES[spec.dtype], spec.shape) for spec in specs]


@pytest.mark.parametrize(("config", "stage", "precision"), PARAMETERS)
def test_up_to_the_delegate_it_is_pytorchs(config: ModelConfig, stage: str, precision: str) -> None:
    built = build_stage(RandomModel(config), stage)
    program = edge_program(built, half=precision == "fp16").module()
    for step in (0, 3) if stage == "denoise" else (0,):
        arrays = arrays_of(built, step)
        result = program(**{key: torch.from_numpy(array) for key, array in arrays.items()})
        results = result if isinstance(result, tuple | list) else (result,)
        found = {spec.name: tensor.numpy() for spec, tensor in zip(built.outputs, results, strict=True)}
        assert_close(outputs_of(built, arrays), found, LIMIT_DB[precision])


NAMED = ("unet.*.attn1:own", "unet.*.attn2:own", "unet.conv_in", "unet.up_blocks.0.resnets.0")


def test_named_modules_and_no_others_are_float32_in_one_delegate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kernel of Vulkan takes and returns tensors of one type of float; only its conversion takes two."""
    graphs: list[Any] = []
    build = VkGraphBuilder.build_graph
    monkeypatch.setattr(VkGraphBuilder, "build_graph", lambda self: graphs.append(build(self)) or graphs[-1])
    built = build_stage(untrained(SMALL, emoji_words(12)), "denoise")
    path = tmp_path / lower(built, tmp_path, VulkanOptions("fp16", spelled(NAMED)))
    delegation = read_delegation(path)
    assert (delegation.delegates, delegation.undelegated) == (1, {})
    (graph,) = graphs
    both = {call.name for call in graph.chain if len(floats_of(graph, call.args)) > 1}
    assert both == {"dim_order_ops._to_dim_order_copy.default"}
    weights = sum(parameter.numel() for parameter in built.module.parameters())
    assert path.stat().st_size < 4 * weights


def floats_of(graph: Any, places: Sequence[int]) -> set[Any]:
    """The types of float among some values of Vulkan's graph."""
    tensors = [value for value in (graph.values[place].value for place in places) if isinstance(value, VkTensor)]
    return {each.datatype for each in tensors} & {VkDataType.FLOAT16, VkDataType.FLOAT32}


@pytest.mark.parametrize("stage", ["denoise", "decode_image"])
def test_the_types_are_those_that_were_measured(stage: str) -> None:
    """PyTorch runs the graph with its types as the measurement rounded it."""
    built = build_stage(untrained(SMALL, emoji_words(12)), stage)
    inputs = {key: torch.from_numpy(array) for key, array in arrays_of(built).items()}
    half = half_program(built)
    exact, measured = (half.run(inputs, wide)[0] for wide in (everything, half.named(NAMED)))
    result = typed_program(built, NAMED).module()(**inputs)
    found = result[0] if isinstance(result, tuple) else result
    assert found.dtype == torch.float32
    assert snr_db(exact.numpy(), found.numpy()) == pytest.approx(snr_db(exact.numpy(), measured.numpy()), abs=4.0)


def test_large_attention_is_delegated_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build_stage(RandomModel(SD1), "decode_image")
    whole = len(edge_program(built).graph.nodes)
    monkeypatch.setattr(parts, "SCORES", 2**17)
    assert len(edge_program(built).graph.nodes) > whole
    delegation = read_delegation(tmp_path / lower(built, tmp_path))
    assert (delegation.delegates, delegation.undelegated) == (1, {})


def test_half_precision_takes_two_bytes_less_per_weight(tmp_path: Path) -> None:
    built, sizes = build_stage(RandomModel(SD1), "encode_text"), {}
    for precision in ("fp32", "fp16"):
        sizes[precision] = (tmp_path / lower(built, tmp_path, VulkanOptions(precision))).stat().st_size
    weights = sum(parameter.numel() for parameter in built.module.parameters())
    assert sizes["fp32"] - sizes["fp16"] == pytest.approx(2 * weights, rel=0.02)


def test_gelu_of_one_position_is_lowered(tmp_path: Path) -> None:
    """Upstream's pass for such shapes fails; ours leaves it out."""

    class Gate(nn.Module):
        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return nn.functional.gelu(latents)

    spec = TensorSpec("latents", "float32", (2, 1, 8))
    stage = ExportStage("probe", Gate(), (spec,), (TensorSpec("image", "float32", (2, 1, 8)),))
    assert read_delegation(tmp_path / lower(stage, tmp_path, VulkanOptions("fp16"))).delegates == 1


def test_nothing_is_told_of_the_users_logging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.ERROR)
    lower(build_stage(RandomModel(BK_TINY), "decode_image"), tmp_path)
    assert logging.getLogger().level == logging.ERROR


def test_a_weight_that_is_a_part_of_a_larger_tensor_is_copied() -> None:
    """Upstream would write the whole of the larger one, from its start."""
    whole = torch.arange(12.0)
    module = nn.Linear(2, 3, bias=False)
    module.weight = nn.Parameter(whole[6:].view(3, 2), requires_grad=False)
    weight = own_storage(module).weight
    assert weight.untyped_storage().nbytes() == 24
    assert torch.equal(weight, whole[6:].view(3, 2))
