"""Every architecture and solver that a checkpoint may have: through ONNX Runtime against PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.onnx.lower import lower
from export.runners.onnxruntime import OnnxRuntimeRunner
from export.signatures import IMAGE_STAGES
from export.stages import build_stage
from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.formats.open_options import OpenOptions
from tests.export.comparing import assert_runs_as_pytorch
from tests.tiny_models import BK_TINY, LCM, SD1, SD2, XL, RandomModel

LIMIT_DB = 90.0
CASES = [
    ("sd1", SD1, "denoise"),
    ("sd1", SD1, "encode_text"),
    ("sd1", SD1, "encode_image"),
    ("sd2", SD2, "denoise"),
    ("sd2", SD2, "encode_text"),
    ("bk-tiny", BK_TINY, "denoise"),
    ("bk-tiny", BK_TINY, "decode_image"),
    ("lcm", LCM, "denoise"),
    ("sdxl", XL, "denoise"),
    ("sdxl", XL, "encode_text"),
]
LONG = [case for case in CASES if case[0] in ("sd2", "lcm") and case[2] == "denoise"]
"""For the full run: their U-Nets differ from the others in the schedule and in one embedding."""
REMEMBER = ("sd1", "sd2")


@pytest.mark.parametrize(
    ("name", "config", "stage"),
    [pytest.param(*case, id=f"{case[0]}-{case[2]}", marks=pytest.mark.full if case in LONG else ()) for case in CASES],
)
def test_a_stage_is_pytorchs(name: str, config: ModelConfig, stage: str, tmp_path: Path) -> None:
    built = build_stage(RandomModel(config), stage)
    if stage == "denoise":
        assert [spec.name for spec in built.outputs] == ["latents", *["memory"] * (name in REMEMBER)]
    runner = OnnxRuntimeRunner.load(tmp_path, {stage: lower(built, tmp_path)}, threads=1)
    for step in (0, 3) if stage == "denoise" else (0,):
        assert_runs_as_pytorch(built, runner, LIMIT_DB, step)


@pytest.mark.full
@pytest.mark.parametrize("name", ["sd15", "sd21-v", "bk-sdm-tiny", "lcm-dreamshaper", "sdxs-512", "koala-700m"])
def test_a_narrow_checkpoint_is_pytorchs(name: str, tmp_path: Path) -> None:
    from benchmarks.checkpoints.random_weights import write_checkpoint

    folder = write_checkpoint(name, tmp_path / "checkpoint", narrow=10)
    checkpoint = open_source(folder, OpenOptions(height=128, width=64))
    for stage in IMAGE_STAGES:
        built = build_stage(checkpoint, stage)
        runner = OnnxRuntimeRunner.load(tmp_path, {stage: lower(built, tmp_path)}, threads=1)
        assert_runs_as_pytorch(built, runner, LIMIT_DB)
