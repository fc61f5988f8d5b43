"""The programs inside delegates stand in for PyTorch, alone and in a bundle."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.artists.artist import bundle_artist
from export.bundle.bundle import open_bundle
from export.job.entry import export_target
from export.runners.delegated import DelegatedRunner
from export.runners.torch import TorchRunner
from export.signatures import STAGES
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError, ExportError
from tests.export.delegates.conftest import coreai_delegates_folder, delegates_folder

__all__ = ["coreai_delegates_folder", "delegates_folder"]

Inputs = Callable[..., dict[str, np.ndarray]]
ARTIFACTS = {stage: f"{stage}.pte" for stage in STAGES}


@pytest.fixture(scope="module", params=["delegates_folder", "coreai_delegates_folder"])
def runner(request: pytest.FixtureRequest) -> DelegatedRunner:
    return DelegatedRunner.load(request.getfixturevalue(request.param), ARTIFACTS, threads=1)


@pytest.mark.parametrize("stage", STAGES)
def test_it_stands_in_for_pytorch(
    stage: str, runner: DelegatedRunner, torch_runner: TorchRunner, make_inputs: Inputs
) -> None:
    arrays = make_inputs(stage)
    wanted, got = torch_runner.run(stage, **arrays), runner.run(stage, **arrays)
    assert list(got) == list(wanted)
    for name, value in wanted.items():
        assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape)
        np.testing.assert_allclose(got[name], value, atol=0.02 * np.abs(value).max())


def test_two_delegates_in_one_bundle(
    delegates_folder: Path,
    coreai_delegates_folder: Path,
) -> None:
    folder = Path(os.path.commonpath([delegates_folder, coreai_delegates_folder]))
    files = (delegates_folder / "encode_text.pte", coreai_delegates_folder / "decode_image.pte")
    paths = {file.stem: file.relative_to(folder).as_posix() for file in files}
    with pytest.raises(ExportError, match="programs with one delegate, got CoreAIBackend, CoreMLBackend"):
        DelegatedRunner.load(folder, paths)


def test_what_was_taken_out_is_removed(delegates_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runner = DelegatedRunner.load(delegates_folder, {"decode_image": "decode_image.pte"})
    assert runner.name == "executorch-coreml-interpreter"
    assert os.listdir(tmp_path)
    del runner
    assert os.listdir(tmp_path) == []


def test_threads_that_cannot_be(delegates_folder: Path) -> None:
    with pytest.raises(ConfigError, match="threads: expected a whole number"):
        DelegatedRunner.load(delegates_folder, ARTIFACTS, threads=0)


@pytest.mark.full
@pytest.mark.parametrize(("delegate", "system"), [("coreml", "iOS17"), ("coreai", "iOS27")])
def test_a_bundle_for_one_runtime_on_both_phones(delegate: str, system: str, tiny_model: Model, tmp_path: Path) -> None:
    out = tmp_path / "ios"
    exported = export_target(tiny_model, "ios", out, runtimes=["executorch"], delegate=delegate, threads=1)
    assert exported.parity.passed
    (runtime,) = open_bundle(tmp_path / "ios").manifest.runtimes
    assert (runtime.name, runtime.verified, runtime.precision) == ("executorch", True, "fp16")
    settings = {each.name: each.value for each in runtime.settings}
    assert (settings["delegate"], settings["deployment_target"]) == (delegate, system)
    for artifact in runtime.artifacts:
        assert (artifact.method, artifact.delegates, artifact.undelegated) == (artifact.stage, 1, ())
    assert verify_bundle(tmp_path / "ios", threads=1).passed
    assert bundle_artist(exported.bundle, None, threads=1).settings.steps == 8
