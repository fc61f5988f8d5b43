"""A bundle with both runtimes of an iPhone: what the manifest says of them, and every command on the second one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artists.demo import SHOWN, lacks
from export.coreai import toolchain
from export.job.plan import plan_export
from export.job.run import Exported, run_export
from export.targets import COREAI, COREML, TARGETS
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.errors import ExportError
from tests.export.cli.test_commands import Command, assert_refused, command
from tests.export.coreai_packages import needs_coreai

pytestmark = needs_coreai
__all__ = ["command"]
RUNTIMES = ("coreml", "coreai")


@pytest.fixture(scope="module")
def both(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A bundle with Core ML and Core AI programs, one step and one decoding compared."""
    model, target = open_checkpoint(tiny_checkpoint), TARGETS["ios"]
    plan = plan_export(model.config, target, RUNTIMES, depth="step", threads=1)
    return run_export(model, target, tmp_path_factory.mktemp("both") / "bundle", plan=plan)


def test_the_manifest_says_which_system_each_runtime_serves(both: Exported) -> None:
    coreml, coreai = both.bundle.manifest.runtimes
    assert (coreml.name, coreml.primary, coreai.name, coreai.primary) == ("coreml", True, "coreai", False)
    settings = [{each.name: each.value for each in runtime.settings} for runtime in (coreml, coreai)]
    assert [each["deployment_target"] for each in settings] == ["iOS17", "iOS27"]
    assert settings[1] == {"deployment_target": "iOS27", "preferred_compute_unit": "gpu"}


def test_the_programs_are_called_by_the_names_of_the_stage(both: Exported) -> None:
    coreai = both.bundle.runtime("coreai")
    assert [artifact.path for artifact in coreai.artifacts] == [
        f"coreai/{stage}.aimodel" for stage in ("encode_text", "denoise", "decode_image")
    ]
    assert [artifact.outputs for artifact in coreai.artifacts] == [("context",), ("latents",), ("image",)]
    assert {(artifact.method, artifact.precision, artifact.compression) for artifact in coreai.artifacts} == {
        ("main", "fp16", "none")
    }
    assert {"coreai-core", "coreai-torch"} <= {tool.name for tool in both.bundle.manifest.tools}


def test_it_is_compared_with_pytorch(both: Exported) -> None:
    rows = {(row.runtime, row.check): row for row in both.parity.rows()}
    assert both.parity.passed
    for check in both.plan.checks:
        assert 45 < rows["coreai", check].worst < 90, check


def test_every_command_takes_it(both: Exported, command: Command, tmp_path: Path) -> None:
    folder = str(both.bundle.path)
    pictures = []
    for runtime in RUNTIMES:
        picture = tmp_path / f"{runtime}.png"
        drawn = command("generate", "a red apple", "--bundle", folder, "--runtime", runtime, "--out", str(picture))
        assert drawn.status == 0, drawn.err
        pictures.append(np.asarray(Image.open(picture)).astype(int))
    assert abs(pictures[0] - pictures[1]).mean() < 1.0 and pictures[0].std() > 1
    verified = command("verify", folder, "--json", "--threads", "1")
    assert verified.status == 0, verified.err
    assert {row["runtime"] for row in json.loads(verified.out)["summary"]} == set(RUNTIMES)
    timed = json.loads(command("bench", folder, "--json", "--threads", "1").out)
    assert [runner["runner"] for runner in timed["runners"]] == ["coreml-interpreter", "coreai"]


@pytest.mark.full
def test_faults_finds_none(both: Exported, command: Command, tiny_checkpoint: Path) -> None:
    found = command("coreai", "faults", str(both.bundle.path), "--checkpoint", str(tiny_checkpoint), "--json")
    assert found.status == 0, found.err
    stages = json.loads(found.out)["stages"]
    assert [each["first"] for each in stages] == [None, None, None]
    assert [len(each["modules"]) > 15 for each in stages] == [True, True, True]
    strict = command("coreai", "faults", str(both.bundle.path), "--checkpoint", str(tiny_checkpoint), "--bound", "75")
    assert strict.status == 2
    assert "denoise: departs first in unet." in strict.out


def test_faults_wants_the_checkpoint_of_the_bundle(both: Exported, command: Command) -> None:
    refused = command("coreai", "faults", str(both.bundle.path))
    assert_refused(refused, "--checkpoint: expected the checkpoint .* got ")


def test_options_of_a_runtime_that_is_not_exported_are_refused(
    command: Command, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    words = ("export", "ios", str(tiny_checkpoint), "--out", str(tmp_path / "out"))
    refused = command(*words, "--coreai-precision", "fp32")
    assert_refused(refused, "expected coreai, for which there are options, got coreml; add --runtime coreai")
    refused = command(*words, "--runtime", "coreai", "--pixel-buffer")
    assert_refused(refused, "expected coreml, for which there are options, got coreai; add --runtime coreml")


def test_a_system_without_the_packages_is_one_line(
    command: Command, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [lacks(runtime) for runtime in (COREML, COREAI)] == ["", ""]
    assert SHOWN["ios"] == RUNTIMES
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    words = ("export", "ios", str(tiny_checkpoint), "--out", str(tmp_path / "out"), "--runtime", "coreai")
    line = r"Core AI: expected Apple's coreai packages, got no package coreai: pip install 'mobile-diffusion\[coreai\]'"
    assert_refused(command(*words), line)
    assert lacks(COREML) == "" and "pip install" in lacks(COREAI)


@pytest.mark.parametrize(
    ("version", "expected"), [("2.31", "got glibc 2.31, for which there is no wheel"), ("2.36", "no package")]
)
def test_an_old_system_is_named(version: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.platform, "libc_ver", lambda: ("glibc", version))
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=expected):
        toolchain.check()
