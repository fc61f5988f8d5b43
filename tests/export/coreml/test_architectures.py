"""Every architecture and solver that a checkpoint may have, narrow: through Core ML against PyTorch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from export.coreml.interpret import Program
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.coreml.structure import check_update
from export.runners.coreml_interpreter import CoreMLInterpreterRunner
from export.stages import ExportStage, build_stage
from mobile_diffusion.autoencoder_config import TinyAutoencoderConfig
from mobile_diffusion.config import (
    ClipTextConfig,
    ModelConfig,
    ScheduleConfig,
    UNetConfig,
    UNetLevel,
)
from tests.export.comparing import assert_runs_as_pytorch
from tests.tiny_models import XL, RandomModel

LIMIT_DB = 40.0
CLIP = ClipTextConfig(vocabulary=99, width=48, layers=2, heads=4, intermediate=96, positions=12, max_tokens=12)
SCHEDULES = {
    "dpm-solver++": {"solver": "dpm-solver++"},
    "euler": {
        "solver": "euler",
        "spacing": "leading",
        "offset": 1,
        "beta_schedule": "scaled_linear",
        "prediction": "epsilon",
    },
    "pndm": {"solver": "pndm", "spacing": "leading", "beta_schedule": "scaled_linear", "prediction": "epsilon"},
    "lcm": {
        "solver": "lcm",
        "guidance_kind": "distilled",
        "steps": 4,
        "beta_schedule": "scaled_linear",
        "prediction": "epsilon",
    },
    "unipc": {"solver": "unipc", "order": 3, "beta_schedule": "scaled_linear", "prediction": "epsilon"},
    "heun": {"solver": "heun", "steps": 3},
    "sde-dpm-solver++": {"solver": "sde-dpm-solver++", "order": 3},
}


def compare(stage: ExportStage, folder: Path, step: int = 1, options: CoreMLOptions | None = None) -> None:
    """Lower a stage, run its package, and compare every output with PyTorch's."""
    lowered = lower(stage, folder, options or CoreMLOptions())
    runner = CoreMLInterpreterRunner.load(folder, {stage.name: lowered}, threads=1)
    assert_runs_as_pytorch(stage, runner, LIMIT_DB, step)


QUICK = ("sde-dpm-solver++",)
"""Schedules of `make test`: with two evaluations, and with noise and two remembered tensors."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in SCHEDULES]
)
def test_every_solver(name: str, tiny_config: ModelConfig, tmp_path: Path, ct: Any) -> None:
    schedule: ScheduleConfig = dataclasses.replace(tiny_config.schedule, **SCHEDULES[name])
    stage = build_stage(RandomModel(dataclasses.replace(tiny_config, schedule=schedule)), "denoise")
    assert len(stage.outputs) == (1 if name in ("euler", "lcm") else 2)
    compare(stage, tmp_path)
    spec = ct.models.MLModel(str(tmp_path / "denoise.mlpackage"), skip_model_load=True).get_spec()
    for output in spec.description.output:
        check_update(spec, output.name)


@pytest.mark.parametrize("mid", [True, pytest.param(False, marks=pytest.mark.full)])
def test_linear_projections_heads_by_stage_and_no_middle(mid: bool, tiny_config: ModelConfig, tmp_path: Path) -> None:
    unet = UNetConfig(
        down=(UNetLevel(32, 1, 1, heads=2), UNetLevel(64, 1, 2, heads=4)),
        mid=UNetLevel(64, 1, 1, heads=4) if mid else None,
        up=(UNetLevel(64, 2, 2, heads=4), UNetLevel(32, 2, 1, heads=2)),
        context_width=48,
        groups=16,
        linear_projection=True,
    )
    compare(build_stage(RandomModel(dataclasses.replace(tiny_config, unet=unet)), "denoise"), tmp_path)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_clip(activation: str, tiny_config: ModelConfig, tmp_path: Path) -> None:
    text = dataclasses.replace(CLIP, activation=activation)
    stage = build_stage(RandomModel(dataclasses.replace(tiny_config, text=text, tokenizer="clip-bpe")), "encode_text")
    compare(stage, tmp_path)
    program = Program.open(tmp_path / "encode_text.mlpackage")
    assert [spec.name for spec in program.inputs] == ["tokens"]
    held = [value for value in program.constants.values() if isinstance(value, torch.Tensor)]
    assert all(bool(value.isfinite().all()) for value in held)


@pytest.mark.parametrize("stage", ["encode_text", pytest.param("denoise", marks=pytest.mark.full)])
@pytest.mark.parametrize("units", ["CPU_AND_NE", pytest.param("CPU_AND_GPU", marks=pytest.mark.full)])
def test_sdxl(units: str, stage: str, tmp_path: Path) -> None:
    compare(build_stage(RandomModel(XL), stage), tmp_path, 1, CoreMLOptions(compute_units=units))


@pytest.mark.parametrize("stage", ["decode_image", "encode_image"])
@pytest.mark.parametrize("kind", ["kl", "tiny"])
def test_autoencoders(stage: str, kind: str, tiny_config: ModelConfig, tmp_path: Path) -> None:
    tiny = TinyAutoencoderConfig(channels=16, encoder_blocks=(1, 1), decoder_blocks=(1, 1))
    config = dataclasses.replace(tiny_config, autoencoder=tiny) if kind == "tiny" else tiny_config
    compare(build_stage(RandomModel(config), stage), tmp_path)
