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
from tests.tiny_models import BK_TINY, LCM, SD1, SD2, XL, RandomModel

pytestmark = needs_coreai
FLOAT32_DB = 90.0
CASES = [
    ("sd1", SD1, "denoise", 54.0),
    ("sd1", SD1, "encode_text", 62.0),
    ("sd1", SD1, "encode_image", 51.0),
    ("sd2", SD2, "denoise", 44.0),
    ("bk-tiny", BK_TINY, "decode_image", 52.0),
    ("lcm", LCM, "denoise", 63.0),
    ("sdxl", XL, "denoise", 50.0),
    ("sdxl", XL, "encode_text", 50.0),
]
"""Each stage's limit in float16 is about 1 dB below the worst of seven draws of random weights."""
LONG = ("sd2", "lcm")
"""For the full run: their U-Nets differ from the others in the schedule and in one embedding."""


@pytest.mark.parametrize("precision", ["fp16", pytest.param("fp32", marks=pytest.mark.full)])
@pytest.mark.parametrize(
    ("config", "stage", "float16_db"),
    [
        pytest.param(*rest, id=f"{name}-{rest[1]}", marks=pytest.mark.full if name in LONG else ())
        for name, *rest in CASES
    ],
)
def test_a_stage_is_pytorchs(
    config: ModelConfig, stage: str, float16_db: float, precision: str, tmp_path: Path
) -> None:
    built = build_stage(RandomModel(config), stage)
    path = lower(built, tmp_path, CoreAIOptions(precision))
    runner = CoreAIRunner.load(tmp_path, {stage: path})
    limit = FLOAT32_DB if precision == "fp32" else float16_db
    for step in (0, 3) if stage == "denoise" else (0,):
        assert_runs_as_pytorch(built, runner, limit, step)
