"""Every architecture and solver that a checkpoint may have: through the ExecuTorch runtime against PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.executorch.lower import lower
from export.runners.executorch import ExecuTorchRunner
from export.stages import build_stage
from mobile_diffusion.config import ModelConfig
from tests.export.comparing import assert_runs_as_pytorch
from tests.tiny_models import BK_TINY, LCM, SD1, SD2, XL, RandomModel

LIMIT_DB = 90.0
CASES = [
    ("sd1", SD1, "denoise"),
    ("sd1", SD1, "encode_text"),
    ("sd1", SD1, "encode_image"),
    ("sd2", SD2, "denoise"),
    ("bk-tiny", BK_TINY, "decode_image"),
    ("lcm", LCM, "denoise"),
    ("sdxl", XL, "denoise"),
    ("sdxl", XL, "encode_text"),
]
LONG = [case for case in CASES if case[0] in ("sd2", "lcm") and case[2] == "denoise"]
"""For the full run: their U-Nets differ from the others in the schedule and in one embedding."""


@pytest.mark.parametrize(
    ("name", "config", "stage"),
    [pytest.param(*case, id=f"{case[0]}-{case[2]}", marks=pytest.mark.full if case in LONG else ()) for case in CASES],
)
def test_a_stage_is_pytorchs(name: str, config: ModelConfig, stage: str, tmp_path: Path) -> None:
    built = build_stage(RandomModel(config), stage)
    runner = ExecuTorchRunner.load(tmp_path, {stage: lower(built, tmp_path)}, threads=1)
    for step in (0, 3) if stage == "denoise" else (0,):
        assert_runs_as_pytorch(built, runner, LIMIT_DB, step)
