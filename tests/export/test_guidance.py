"""Guidance inside the programs: up to a scale of 1, every runtime returns the conditional prediction alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.runners import Runner
from export.runners.coreml_interpreter import CoreMLInterpreterRunner
from export.runners.executorch import ExecuTorchRunner
from export.runners.onnxruntime import OnnxRuntimeRunner
from export.signatures import signature
from export.stages import ExportStage, build_stage
from mobile_diffusion.config import ModelConfig
from tests.export.comparing import Arrays, arrays_of, assert_close, signal_to_noise
from tests.tiny_models import LCM, SD1, TINY, RandomModel

SCALES = (-30.0, -1.0, 0.0, 0.5, 1.0)
RUNTIMES: dict[str, tuple[str, str, Callable[..., Runner], float]] = {
    "xnnpack": ("executorch_folder", "denoise.pte", ExecuTorchRunner.load, 90.0),
    "onnx": ("onnx_folder", "denoise.onnx", OnnxRuntimeRunner.load, 90.0),
    "coreml": ("coreml_folder", "denoise.mlpackage", CoreMLInterpreterRunner.load, 40.0),
}
"""Fixture with the programs, the program of `denoise`, how it is loaded, and least SNR in dB."""


@pytest.mark.parametrize("name", RUNTIMES)
def test_up_to_one_a_program_returns_the_conditional_prediction(
    name: str, tiny_stages: Mapping[str, ExportStage], request: pytest.FixtureRequest
) -> None:
    """Bit for bit whatever the scale and the other context are, and in PyTorch one evaluation gives the same."""
    fixture, program, load, limit = RUNTIMES[name]
    folder: Path = request.getfixturevalue(fixture)
    runner, stage = load(folder, {"denoise": program}, threads=1), tiny_stages["denoise"]
    arrays = arrays_of(stage)

    def at(scale: float, null: np.ndarray = arrays["null_context"]) -> Arrays:
        return runner.run("denoise", **(arrays | {"null_context": null, "guidance": np.array([scale], np.float32)}))

    found = [at(scale, null)["latents"] for scale in SCALES for null in (arrays["null_context"], arrays["context"])]
    assert all(np.array_equal(each, found[0]) for each in found)
    assert_close(one_evaluation(stage, arrays), {"latents": found[0]}, limit)
    assert signal_to_noise(found[0], at(7.5)["latents"]) < 30


def one_evaluation(stage: ExportStage, arrays: Arrays) -> Arrays:
    """What PyTorch computes without guidance."""
    given = {key: torch.from_numpy(arrays[key]) for key in ("latents", "step", "context")}
    with torch.no_grad():
        return {"latents": stage.module(**given).numpy()}


@pytest.mark.parametrize("config", [TINY, SD1], ids=["tiny", "sd1"])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_a_model_without_guidance_has_one_evaluation(config: ModelConfig, scale: float) -> None:
    unguided = scaled(config, scale)
    inputs = [spec.name for spec in signature(unguided, "denoise").inputs]
    assert "null_context" in [spec.name for spec in signature(config, "denoise").inputs]
    assert not {"null_context", "guidance"} & set(inputs)
    stage, batches = build_stage(RandomModel(unguided), "denoise"), list[int]()
    stage.module.get_submodule("unet.conv_out").register_forward_hook(
        lambda _, given, __: batches.append(len(given[0]))
    )
    arrays = arrays_of(stage)
    result = stage.module(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    assert batches == [1] and torch.isfinite(result[0] if isinstance(result, tuple) else result).all()


def test_an_embedded_scale_of_one_stays_an_embedding() -> None:
    """As in diffusers, where it replaces guidance at every scale."""
    at_one, at_eight = (build_stage(RandomModel(scaled(LCM, scale)), "denoise").module for scale in (1.0, 8.0))
    assert not torch.equal(at_one.get_buffer("times"), at_eight.get_buffer("times"))


def scaled(config: ModelConfig, guidance: float) -> ModelConfig:
    """The configuration with another default scale."""
    return replace(config, schedule=replace(config.schedule, guidance=guidance))
