"""Every runner of this machine against PyTorch, stage by stage and step by step, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from export.executorch import PROGRAM, SIGNATURE
from export.runners import Runner
from export.runners.executorch import ExecuTorchRunner
from export.runners.onnxruntime import OnnxRuntimeRunner
from export.runners.torch import TorchRunner
from export.stages import STAGES
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ExportError

LIMIT_DB = 80.0
Inputs = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(scope="module", params=["executorch", "onnxruntime"])
def runner(request: pytest.FixtureRequest) -> Runner:
    if request.param == "executorch":
        folder: Path = request.getfixturevalue("executorch_folder")
        return ExecuTorchRunner.load(folder, dict.fromkeys(STAGES, PROGRAM))
    folder = request.getfixturevalue("onnx_folder")
    return OnnxRuntimeRunner.load(folder, {stage: f"{stage}.onnx" for stage in STAGES})


def signal_to_noise(reference: np.ndarray, candidate: np.ndarray) -> float:
    """dB, in float64; infinite when they are equal."""
    error = np.square(candidate.astype(np.float64) - reference).sum()
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.square(reference.astype(np.float64)).sum() / error))


def assert_close(reference: dict[str, np.ndarray], candidate: dict[str, np.ndarray]) -> None:
    assert list(reference) == list(candidate)
    for name, wanted in reference.items():
        assert (candidate[name].dtype, candidate[name].shape) == (wanted.dtype, wanted.shape)
        assert wanted.std() > 1e-3, "a reference of about zero proves nothing"
        assert signal_to_noise(wanted, candidate[name]) > LIMIT_DB


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_pytorchs(stage: str, runner: Runner, torch_runner: TorchRunner, make_inputs: Inputs) -> None:
    arrays = make_inputs(stage)
    assert_close(torch_runner.run(stage, **arrays), runner.run(stage, **arrays))


@pytest.mark.parametrize("step", range(8))
def test_a_step_is_pytorchs(step: int, runner: Runner, torch_runner: TorchRunner, make_inputs: Inputs) -> None:
    arrays = make_inputs("denoise", step)
    assert_close(torch_runner.run("denoise", **arrays), runner.run("denoise", **arrays))


def test_the_steps_differ(torch_runner: TorchRunner, make_inputs: Inputs) -> None:
    results = [torch_runner.run("denoise", **make_inputs("denoise", step))["latents"] for step in range(8)]
    assert all(not np.allclose(a, b, atol=1e-3) for a, b in pairwise(results))


def test_a_result_is_the_callers(runner: Runner, make_inputs: Inputs) -> None:
    first = runner.run("denoise", **make_inputs("denoise", 0))["latents"]
    kept = first.copy()
    runner.run("denoise", **make_inputs("denoise", 5))
    np.testing.assert_array_equal(first, kept)


def test_arrays_that_are_not_contiguous_are_read_right(runner: Runner, make_inputs: Inputs) -> None:
    arrays = make_inputs("decode_image")
    turned = {"latents": np.asfortranarray(arrays["latents"])}
    wanted, got = runner.run("decode_image", **arrays), runner.run("decode_image", **turned)
    np.testing.assert_array_equal(wanted["image"], got["image"])


@pytest.fixture(params=["torch", "artifact"])
def any_runner(request: pytest.FixtureRequest, runner: Runner, torch_runner: TorchRunner) -> Runner:
    return torch_runner if request.param == "torch" else runner


WRONG: list[tuple[Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], str]] = [
    (lambda arrays: {}, "expected the inputs latents, got none"),
    (lambda arrays: {**arrays, "extra": arrays["latents"]}, "expected the inputs latents, got latents, extra"),
    (lambda arrays: {"latents": arrays["latents"].astype(np.float64)}, r"as float32 .*, got float64"),
    (lambda arrays: {"latents": arrays["latents"][:, :2]}, r"\(1, 4, 16, 16\), got float32 \(1, 2, 16, 16\)"),
    (lambda arrays: {"latents": [1.0]}, "got list"),  # type: ignore[dict-item]
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=["none", "extra", "dtype", "shape", "type"])
def test_wrong_inputs_are_refused(
    spoil: Callable[..., dict[str, np.ndarray]], message: str, any_runner: Runner, make_inputs: Inputs
) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        any_runner.run("decode_image", **spoil(make_inputs("decode_image")))
    assert "\n" not in str(caught.value)


def test_an_unknown_stage_is_refused(any_runner: Runner) -> None:
    with pytest.raises(ExportError, match="expected a stage of encode_text, denoise, decode_image, got 'paint'"):
        any_runner.run("paint")


def test_the_model_is_left_as_it_was(tiny_model: Model, executorch_folder: Path) -> None:
    assert any(type(module).__name__ == "GroupNorm" for module in tiny_model.unet.modules())


@pytest.mark.parametrize("content", [None, b"", b"not a program" * 100])
def test_a_file_that_is_no_program_is_refused(content: bytes | None, tmp_path: Path, executorch_folder: Path) -> None:
    (tmp_path / SIGNATURE).write_bytes((executorch_folder / SIGNATURE).read_bytes())
    for name in (PROGRAM, "denoise.onnx"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(ExportError, match=r"model.pte: expected an ExecuTorch program"):
        ExecuTorchRunner.load(tmp_path, {"denoise": PROGRAM})
    with pytest.raises(ExportError, match=r"denoise.onnx: expected an ONNX model"):
        OnnxRuntimeRunner.load(tmp_path, {"denoise": "denoise.onnx"})


def test_a_missing_signature_is_refused(tmp_path: Path, executorch_folder: Path) -> None:
    (tmp_path / PROGRAM).write_bytes((executorch_folder / PROGRAM).read_bytes())
    with pytest.raises(ExportError, match=r"model.json: expected the signatures"):
        ExecuTorchRunner.load(tmp_path, dict.fromkeys(STAGES, PROGRAM))


def test_two_numbers_of_threads_in_one_process_are_refused(executorch_folder: Path) -> None:
    artifacts = dict.fromkeys(STAGES, PROGRAM)
    loaded = ExecuTorchRunner.load(executorch_folder, artifacts, threads=2)
    with pytest.raises(ExportError, match="expected 2 threads, as the runner loaded before, got 1"):
        ExecuTorchRunner.load(executorch_folder, artifacts, threads=1)
    assert loaded.threads == 2
