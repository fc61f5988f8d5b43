"""Every architecture and solver that a checkpoint may have: through Apple's runtime against PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.coreai.lower import lower
from export.coreai.options import CoreAIOptions
from export.runners.coreai import CoreAIRunner
from export.stages import build_stage
from mobile_diffusion.config import ModelConfig
from tests.export.comparing import assert_runs_as_pytorch
from tests.export.coreai_packages import needs_coreai
from tests.tiny_models import BK_TINY, LCM, SD1, SD2, RandomModel

pytestmark = needs_coreai
LIMITS_DB = {"fp32": 90.0, "fp16": 44.0}  # random weights; the worst is the memory of SD 2, 44.9 dB in half
CASES = [
    ("sd1", SD1, "denoise"),
    ("sd1", SD1, "encode_text"),
    ("sd1", SD1, "encode_image"),
    ("sd2", SD2, "denoise"),
    ("bk-tiny", BK_TINY, "decode_image"),
    ("lcm", LCM, "denoise"),
]


@pytest.mark.parametrize("precision", LIMITS_DB)
@pytest.mark.parametrize(("name", "config", "stage"), CASES, ids=[f"{name}-{stage}" for name, _, stage in CASES])
def test_a_stage_is_pytorchs(name: str, config: ModelConfig, stage: str, precision: str, tmp_path: Path) -> None:
    built = build_stage(RandomModel(config), stage)
    path = lower(built, tmp_path, CoreAIOptions(precision))
    runner = CoreAIRunner.load(tmp_path, {stage: path})
    for step in (0, 3) if stage == "denoise" else (0,):
        assert_runs_as_pytorch(built, runner, LIMITS_DB[precision], step)
