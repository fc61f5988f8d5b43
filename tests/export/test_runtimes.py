"""Runtimes that are chosen: a precision that one has not, one that cannot run here, and what is said of it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from export.bundle.bundle import open_bundle
from export.cli.display import verdict
from export.executorch import vulkan
from export.executorch.options import VulkanOptions
from export.job import run as run_module
from export.job.plan import plan_export
from export.job.run import Exported, run_export
from export.stages import ExportStage
from export.targets import COREML, TARGETS, load_runner
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import ConfigError, ParityError
from tests.export.cli.test_commands import Command, assert_refused, command

__all__ = ["command"]


@pytest.fixture(scope="module")
def on_gpu(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A bundle of Vulkan alone."""
    model, target = open_checkpoint(tiny_checkpoint), TARGETS["android"]
    plan = plan_export(model.config, target, ["vulkan"], depth="step", threads=1, precision="fp16")
    return run_export(model, target, tmp_path_factory.mktemp("gpu") / "bundle", plan=plan)


@pytest.mark.parametrize(
    ("runtimes", "precision", "refusal"),
    [
        (["vulkan"], "int8", "precision: expected one of fp32, fp16 for vulkan, got 'int8'"),
        (["onnx"], "int8-dynamic", "precision: expected one of fp32, fp16, int8, w8a16 for onnx, got 'int8-dynamic'"),
        (
            ["xnnpack", "onnx"],
            "int8-dynamic",
            "precision: expected one of fp32, fp16, int8, w8a16 for onnx, got 'int8-dynamic'",
        ),
        ([], "int8-dynamic", "for onnx, got 'int8-dynamic'; give --runtime xnnpack$"),
        (["xnnpack"], "bf16", "precision: expected one of fp32, fp16, int8, .* for xnnpack, got 'bf16'$"),
        (["qnn"], "fp32", "precision: expected one of fp16 for qnn, got 'fp32'"),
        (["metal"], "fp32", "runtime: expected one of xnnpack, vulkan, qnn, onnx for android, got 'metal'"),
    ],
)
def test_a_precision_that_a_runtime_has_not_is_refused(
    command: Command, tiny_checkpoint: Path, tmp_path: Path, runtimes: list[str], precision: str, refusal: str
) -> None:
    words = [word for runtime in runtimes for word in ("--runtime", runtime)]
    out = tmp_path / "out"
    result = command("export", "android", str(tiny_checkpoint), "--out", str(out), *words, "--precision", precision)
    assert_refused(result, refusal)
    assert not out.exists()


def test_the_only_precision_of_a_runtime_may_be_named(tiny_config: ModelConfig) -> None:
    """Core ML's programs are float16, and have no choice."""
    (runtime,) = plan_export(tiny_config, TARGETS["ios"], ["coreml"], precision="fp16").runtimes
    assert runtime == COREML


def test_qnn_without_its_sdk_is_one_line(
    command: Command, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    words = ("export", "android", str(tiny_checkpoint), "--out", str(tmp_path / "out"), "--runtime", "qnn")
    assert_refused(command(*words), r"qnn: expected Qualcomm's AI Engine Direct SDK at \$QNN_SDK_ROOT")
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_cannot_run_here_says_so(on_gpu: Exported) -> None:
    folder = on_gpu.bundle.path
    (entry,) = on_gpu.bundle.manifest.runtimes
    assert (entry.name, entry.verified, entry.precision) == ("vulkan", False, "fp16")
    assert [(artifact.delegates, artifact.undelegated) for artifact in entry.artifacts] == [(1, ())] * 3
    parity = json.loads((folder / "parity.json").read_text())
    assert (parity["passed"], parity["measurements"]) == (False, [])
    assert on_gpu.bundle.manifest.parity == ()
    page = (folder / "report.html").read_text()
    assert "nothing was compared" in page
    assert "gates passed" not in page


def test_it_has_golden_vectors_for_a_phone(on_gpu: Exported) -> None:
    bundle = open_bundle(on_gpu.bundle.path)
    assert (bundle.path / bundle.manifest.golden).is_file()
    assert [runner.runner for runner in on_gpu.latency.runners] == ["torch"]


def test_nothing_is_drawn_timed_or_verified_with_it(command: Command, on_gpu: Exported, tmp_path: Path) -> None:
    folder, picture = str(on_gpu.bundle.path), tmp_path / "a.png"
    drawn = command("generate", "a red apple", "--bundle", folder, "--out", str(picture))
    assert_refused(drawn, "runtime: expected one that can run here, got vulkan: it was lowered, but not run")
    assert not picture.exists()
    assert_refused(command("bench", folder), "expected a runtime that can run on this computer, got only vulkan")
    assert_refused(command("verify", folder), "got vulkan alone: .* nothing was compared; give --checkpoint")


def test_its_vectors_are_verified_with_a_checkpoint(command: Command, on_gpu: Exported, tiny_checkpoint: Path) -> None:
    result = command("verify", str(on_gpu.bundle.path), "--checkpoint", str(tiny_checkpoint))
    assert result.status == 0, result.err
    assert "all gates passed; cannot run on this computer: vulkan" in _one_line(result.out)


def test_the_python_interface_refuses_too(on_gpu: Exported) -> None:
    with pytest.raises(ParityError, match="nothing was compared"):
        verify_bundle(on_gpu.bundle.path)
    runtimes = {runtime.name: runtime for runtime in TARGETS["android"].runtimes}
    with pytest.raises(ConfigError, match="expected one that can run here, got vulkan"):
        load_runner(runtimes["vulkan"], on_gpu.bundle.path, {"denoise": "vulkan/denoise.pte"}, threads=1)


@pytest.mark.full
def test_a_mixed_bundle_is_timed_and_verified_without_it(
    command: Command, on_gpu: Exported, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lowered_before(stage: ExportStage, folder: Path, options: VulkanOptions) -> str:
        for kind in ("json", "pte"):
            shutil.copy(on_gpu.bundle.path / "vulkan" / f"{stage.name}.{kind}", folder)
        return f"{stage.name}.pte"

    monkeypatch.setattr(vulkan, "lower", lowered_before)
    out, passed = str(tmp_path / "mixed"), "all gates passed; cannot run on this computer: vulkan"
    words = ("export", "android", str(tiny_checkpoint), "--out", out, "--threads", "1", "--check", "step")
    made = command(*words, "--runtime", "onnx", "--runtime", "vulkan")
    assert made.status == 0, made.err
    assert passed in _one_line(made.out)
    timed = command("bench", out, "--json", "--threads", "1")
    assert [runner["runner"] for runner in json.loads(timed.out)["runners"]] == ["onnx"]
    assert passed in _one_line(command("verify", out, "--threads", "1").out)


def test_the_command_line_does_not_claim_what_was_not_done(
    command: Command, on_gpu: Exported, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "run_export", lambda *_, **__: on_gpu)
    words = ("export", "android", str(tiny_checkpoint), "--out", str(tmp_path / "gpu"), "--runtime", "vulkan")
    result = command(*words)
    assert result.status == 0, result.err
    assert "nothing was compared with PyTorch; cannot run on this computer: vulkan" in _one_line(result.out)
    assert "passed" not in result.out


@pytest.mark.parametrize(
    ("compared", "others", "words"),
    [
        (["xnnpack"], [], "all gates passed"),
        (["xnnpack"], ["vulkan"], "all gates passed; cannot run on this computer: vulkan"),
        ([], ["vulkan", "qnn"], "nothing was compared with PyTorch; cannot run on this computer: vulkan, qnn"),
    ],
)
def test_the_last_line(compared: list[str], others: list[str], words: str) -> None:
    assert verdict(compared, others) == words


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)
