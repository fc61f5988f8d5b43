"""Every runner of this machine against PyTorch, stage by stage and step by step, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.coreai.lower import lower as lower_coreai
from export.coreai.options import CoreAIOptions
from export.executorch.lower import lower as lower_executorch
from export.job.plan import plan_export
from export.onnx.lower import lower as lower_onnx
from export.runners import Runner
from export.runners.coreai import CoreAIRunner
from export.runners.executorch import ExecuTorchRunner
from export.runners.onnxruntime import OnnxRuntimeRunner
from export.runners.torch import TorchRunner
from export.signatures import STAGES, TensorSpec
from export.stages import ExportStage
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError, ExportError
from tests.export.comparing import assert_close, assert_runs_as_pytorch
from tests.export.coreai_packages import needs_coreai
from tests.tiny_models import SD1

LIMIT_DB = 80.0
Inputs = Callable[..., dict[str, np.ndarray]]


SUFFIXES = {"xnnpack": ".pte", "onnx": ".onnx", "coreai": ".aimodel"}
LOWERINGS: dict[str, Callable[[ExportStage, Path], str]] = {
    "xnnpack": lower_executorch,
    "onnx": lower_onnx,
    "coreai": lambda stage, folder: lower_coreai(stage, folder, CoreAIOptions("fp32")),
}
LOADERS: dict[str, Callable[..., Runner]] = {
    "xnnpack": ExecuTorchRunner.load,
    "onnx": OnnxRuntimeRunner.load,
    "coreai": CoreAIRunner.load,
}
FOLDERS = {"xnnpack": "executorch_folder", "onnx": "onnx_folder", "coreai": "coreai_folder"}
RUNTIMES = ["xnnpack", "onnx", pytest.param("coreai", marks=needs_coreai)]


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(runtime: str, request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(FOLDERS[runtime]))


@pytest.fixture(scope="module")
def runner(runtime: str, folder: Path) -> Runner:
    return LOADERS[runtime](folder, {stage: f"{stage}{SUFFIXES[runtime]}" for stage in STAGES})


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_pytorchs(stage: str, runner: Runner, torch_runner: TorchRunner, make_inputs: Inputs) -> None:
    arrays = make_inputs(stage)
    assert_close(torch_runner.run(stage, **arrays), runner.run(stage, **arrays), LIMIT_DB)


@pytest.mark.parametrize("step", range(8))
def test_a_step_is_pytorchs(step: int, runner: Runner, torch_runner: TorchRunner, make_inputs: Inputs) -> None:
    arrays = make_inputs("denoise", step)
    assert_close(torch_runner.run("denoise", **arrays), runner.run("denoise", **arrays), LIMIT_DB)


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


def test_one_stage_can_be_loaded_alone(
    runtime: str, folder: Path, torch_runner: TorchRunner, make_inputs: Inputs
) -> None:
    alone = LOADERS[runtime](folder, {"decode_image": f"decode_image{SUFFIXES[runtime]}"})
    arrays = make_inputs("decode_image")
    assert_close(torch_runner.run("decode_image", **arrays), alone.run("decode_image", **arrays), LIMIT_DB)
    with pytest.raises(ExportError, match="expected a stage of decode_image, got 'denoise'"):
        alone.run("denoise", **make_inputs("denoise"))


class Remembering(nn.Module):
    """Two outputs that have the names of inputs, as those of a solver with memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, latents: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        output = self.conv(latents)
        return latents * 0.5 + output - memory[:, 4:], torch.cat([output, memory[:, :4]], dim=1)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_several_outputs_have_the_stages_names(runtime: str, tmp_path: Path) -> None:
    module = Remembering().eval().requires_grad_(False)
    specs = (TensorSpec("latents", "float32", (1, 4, 8, 8)), TensorSpec("memory", "float32", (1, 8, 8, 8)))
    stage = ExportStage("denoise", module, specs, specs)
    path = LOWERINGS[runtime](stage, tmp_path)
    assert_runs_as_pytorch(stage, LOADERS[runtime](tmp_path, {"denoise": path}), LIMIT_DB)


def test_the_model_is_left_as_it_was(tiny_model: Model, executorch_folder: Path) -> None:
    assert any(type(module).__name__ == "GroupNorm" for module in tiny_model.unet.modules())


@pytest.mark.parametrize("content", [None, b"", b"not a program" * 100])
def test_a_file_that_is_no_program_is_refused(content: bytes | None, tmp_path: Path, executorch_folder: Path) -> None:
    (tmp_path / "denoise.json").write_bytes((executorch_folder / "denoise.json").read_bytes())
    for name in ("denoise.pte", "denoise.onnx"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(ExportError, match=r"denoise.pte: expected an ExecuTorch program"):
        ExecuTorchRunner.load(tmp_path, {"denoise": "denoise.pte"})
    with pytest.raises(ExportError, match=r"denoise.onnx: expected an ONNX model"):
        OnnxRuntimeRunner.load(tmp_path, {"denoise": "denoise.onnx"})


def test_a_missing_signature_is_refused(tmp_path: Path, executorch_folder: Path) -> None:
    (tmp_path / "denoise.pte").write_bytes((executorch_folder / "denoise.pte").read_bytes())
    with pytest.raises(ExportError, match=r"denoise.json: expected the signature"):
        ExecuTorchRunner.load(tmp_path, {"denoise": "denoise.pte"})


def test_two_numbers_of_threads_in_one_process_are_refused(executorch_folder: Path) -> None:
    artifacts = {"denoise": "denoise.pte"}
    loaded = ExecuTorchRunner.load(executorch_folder, artifacts, threads=2)
    with pytest.raises(ExportError, match="expected 2 threads, as the runner loaded before, got 1"):
        ExecuTorchRunner.load(executorch_folder, artifacts, threads=1)
    assert loaded.threads == 2


@pytest.mark.parametrize("count", [0, -1, 257, 10_000, True, 1.5])
def test_a_number_of_threads_that_no_pool_can_have(count: int, executorch_folder: Path, onnx_folder: Path) -> None:
    message = "threads: expected a whole number from 1 to 256, got"
    with pytest.raises(ConfigError, match=message):
        ExecuTorchRunner.load(executorch_folder, {"denoise": "denoise.pte"}, threads=count)
    with pytest.raises(ConfigError, match=message):
        OnnxRuntimeRunner.load(onnx_folder, {"denoise": "denoise.onnx"}, threads=count)
    with pytest.raises(ConfigError, match=message):
        plan_export(SD1, TARGETS["android"], threads=count)


def spoiled(folder: Path, out: Path, old: bytes, new: bytes) -> Path:
    """A copy of `denoise.pte` and what lies beside it, with some bytes replaced."""
    program = (folder / "denoise.pte").read_bytes()
    assert old in program and len(old) == len(new)
    (out / "denoise.pte").write_bytes(program.replace(old, new))
    (out / "denoise.json").write_bytes((folder / "denoise.json").read_bytes())
    return out


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"XnnpackBackend", b"VulkanBackend\0", "Backend VulkanBackend is not registered"),
        (b"XnnpackBackend", b"ForeignBackend", "Backend ForeignBackend is not registered"),
        (b"ET12", b"ET99", "Program identifier 'ET99' != expected 'ET12'"),
    ],
    ids=["vulkan", "foreign", "schema"],
)
def test_a_program_of_another_backend_or_schema(
    old: bytes, new: bytes, reason: str, executorch_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = spoiled(executorch_folder, tmp_path, old, new)
    with pytest.raises(ExportError) as caught:
        ExecuTorchRunner.load(folder, {"denoise": "denoise.pte"}, threads=2)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_program_and_a_signature_of_two_exports(executorch_folder: Path, tmp_path: Path) -> None:
    folder = spoiled(executorch_folder, tmp_path, b"", b"")
    values = json.loads((folder / "denoise.json").read_text())
    values["inputs"][0]["shape"][-1] *= 2
    (folder / "denoise.json").write_text(json.dumps(values))
    with pytest.raises(ExportError, match=r"denoise.pte: expected the tensors of denoise.json, got others; keep both"):
        ExecuTorchRunner.load(folder, {"denoise": "denoise.pte"}, threads=2)
