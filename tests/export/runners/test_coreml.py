"""The two Core ML runners."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from export.runners import Runner
from export.runners.coreml_interpreter import CoreMLInterpreterRunner
from export.runners.coreml_native import CoreMLNativeRunner
from export.runners.torch import TorchRunner
from export.signatures import STAGES
from mobile_diffusion.errors import ExportError

Inputs = Callable[..., dict[str, np.ndarray]]
ARTIFACTS = {stage: f"{stage}.mlpackage" for stage in STAGES}


@pytest.fixture(scope="module")
def runner(coreml_folder: Path) -> Runner:
    return CoreMLInterpreterRunner.load(coreml_folder, ARTIFACTS, threads=1)


@pytest.mark.parametrize("stage", STAGES)
def test_it_stands_in_for_pytorch(stage: str, runner: Runner, torch_runner: TorchRunner, make_inputs: Inputs) -> None:
    arrays = make_inputs(stage)
    wanted, got = torch_runner.run(stage, **arrays), runner.run(stage, **arrays)
    assert list(got) == list(wanted)
    for name, value in wanted.items():
        assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape)
        np.testing.assert_allclose(got[name], value, atol=0.02 * np.abs(value).max())


def test_the_threads_of_torch_are_put_back(runner: Runner, make_inputs: Inputs) -> None:
    before = torch.get_num_threads()
    runner.run("decode_image", **make_inputs("decode_image"))
    assert torch.get_num_threads() == before


def test_an_unknown_stage_is_refused(runner: Runner) -> None:
    with pytest.raises(ExportError, match=r"expected a stage of encode_text, denoise, decode_image, got 'paint'"):
        runner.run("paint")


def test_wrong_inputs_are_refused(runner: Runner, make_inputs: Inputs) -> None:
    latents = make_inputs("decode_image")["latents"]
    with pytest.raises(ExportError, match=r"decode_image: expected the inputs latents, got none"):
        runner.run("decode_image")
    with pytest.raises(ExportError, match=r"decode_image: expected latents as float32 .*, got float64"):
        runner.run("decode_image", latents=latents.astype(np.float64))


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has Core ML")
def test_the_native_runner_needs_a_mac(coreml_folder: Path) -> None:
    with pytest.raises(ExportError, match=r"coreml-native: expected macOS, got .*; use coreml-interpreter"):
        CoreMLNativeRunner.load(coreml_folder, ARTIFACTS)


def test_an_unknown_compute_unit_is_refused(coreml_folder: Path) -> None:
    with pytest.raises(ExportError, match=r"compute_units: expected one of .*, got 'TPU'"):
        CoreMLNativeRunner.load(coreml_folder, ARTIFACTS, compute_units="TPU")
