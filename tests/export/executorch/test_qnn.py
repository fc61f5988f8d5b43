"""Qualcomm's NPU without Qualcomm's SDK: one clear line, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.executorch import qnn
from export.job.plan import plan_export
from export.stages import ExportStage
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ExportError


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the SDK from outside."""
    (tmp_path / qnn.COMPILER).parent.mkdir(parents=True)
    (tmp_path / qnn.COMPILER).touch()
    monkeypatch.setenv(qnn.SDK_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_no_sdk_is_one_line_before_any_work(
    value: str | None, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(qnn.SDK_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(qnn.SDK_VARIABLE, value)
    with pytest.raises(ExportError, match=r"qnn: expected .* SDK at \$QNN_SDK_ROOT, got no such variable; ") as caught:
        plan_export(tiny_model.config, TARGETS["android"], ["xnnpack", "qnn"])
    assert "\n" not in str(caught.value)


def test_an_sdk_without_its_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(qnn.SDK_VARIABLE, str(tmp_path))
    with pytest.raises(ExportError, match=rf"qnn: expected lib/.*libQnnHtp.so in .*, got none in {tmp_path}; set"):
        qnn.check()


@pytest.mark.usefixtures("unpacked")
def test_an_executorch_without_bindings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qnn, "BINDINGS", "executorch.backends.no_such_backend.bindings")
    with pytest.raises(ExportError, match=r"expected the module executorch\..*, got none in the installed executorch"):
        qnn.check()


@pytest.mark.usefixtures("unpacked")
def test_with_everything_there_a_plan_is_made(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qnn, "BINDINGS", "json")
    (runtime,) = plan_export(tiny_model.config, TARGETS["android"], ["qnn"]).runtimes
    assert (runtime.precision, runtime.runs_here) == ("fp16", False)


def test_lowering_asks_too(
    tiny_stages: dict[str, ExportStage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(qnn.SDK_VARIABLE, raising=False)
    with pytest.raises(ExportError, match=r"qnn: expected Qualcomm's"):
        qnn.lower(tiny_stages["denoise"], tmp_path)
    assert not list(tmp_path.iterdir())
