"""The short way through ExecuTorch's passes against upstream's own: the same program, byte for byte."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from executorch.backends.xnnpack import xnnpack_preprocess
from executorch.backends.xnnpack._passes import XNNPACKPassManager
from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import ChannelsLastTaggedReshapePass
from executorch.backends.xnnpack._passes.convert_to_sdpa import ConvertToSDPAPass
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.utils.configs import get_transform_passes, get_xnnpack_edge_compile_config
from executorch.exir import to_edge_transform_and_lower
from torch.export import ExportedProgram

from export.executorch.layout import FreePermutations, RequestLayouts
from export.executorch.lower import convert
from export.rewrites.xnnpack import REWRITES, rewrite
from export.signatures import IMAGE_STAGES
from export.stages import ExportStage, build_stage
from mobile_diffusion.config import ModelConfig
from tests.tiny_models import LCM, SD1, SD2, RandomModel

CASES = [(SD1, stage) for stage in IMAGE_STAGES] + [(SD2, "denoise"), (LCM, "denoise")]
PARAMETERS = [
    pytest.param(
        config,
        stage,
        id=f"{config.text.activation}-{config.schedule.solver}-{stage}",
        marks=[] if config is SD1 and stage == "encode_text" else [pytest.mark.full],
    )
    for config, stage in CASES
]


@torch.no_grad()
def upstream(stage: ExportStage) -> bytes:
    """The program that ExecuTorch's guide makes of the same rewritten module, with our passes for the layout."""
    with patch.object(xnnpack_preprocess, "XNNPACKPassManager", all_passes):
        return (
            to_edge_transform_and_lower(
                {stage.name: torch.export.export(rewrite(stage.module, REWRITES), (), stage.example())},
                transform_passes=get_transform_passes(),
                partitioner=[XnnpackPartitioner()],
                compile_config=get_xnnpack_edge_compile_config(),
            )
            .to_executorch()
            .buffer
        )


def all_passes(program: ExportedProgram, passes: None) -> XNNPACKPassManager:
    """XNNPACK's own passes and those for the layout; attention as one operation would not be what is compared."""
    own = [each for each in XNNPACKPassManager(program).passes if each is not ConvertToSDPAPass]
    at = own.index(ChannelsLastTaggedReshapePass)
    return XNNPACKPassManager(program, [*own[:at], RequestLayouts, *own[at:], FreePermutations])


@pytest.mark.parametrize(("config", "stage"), PARAMETERS)
def test_the_program_is_upstreams(config: ModelConfig, stage: str) -> None:
    built = build_stage(RandomModel(config), stage)
    assert convert(built).buffer == upstream(built)
