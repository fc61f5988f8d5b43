"""The runner for 64-bit ARM under emulation, on the NEON kernels that phones run, against PyTorch's golden vectors.

The results are a phone's, the times are not. Never use the emulator's own "max" processor: it computes int8 products
wrongly.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.bundle.bundle import open_bundle
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.decibels import psnr_db
from tests.apps.conftest import ROOT, export, reference
from tests.apps.runner.conftest import SYSROOT

PROCESSORS = ("cortex-a76", "cortex-a53")
"""With and without the dot product instructions."""
LIMITS_DB = {
    "encode_text": 90,
    "encode_image": 90,
    "denoise": 90,
    "decode_image": 90,
    "free_running": 80,
    "picture": 80,
}
"""Tighter than the limits of an export; float32 kernels sum in another order, and errors grow over the steps."""

AS_HERE_DB = 3.0


def emulate(runner: Path, processor: str, *arguments: object) -> str:
    """Standard output of the runner for ARM."""
    command = ["qemu-aarch64-static", "-cpu", processor, "-L", SYSROOT, str(runner), "--threads", "1"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_limits(report: dict[str, Any], bundle: Path) -> None:
    """Every check of a report, made for every recorded step (or the first, at that depth)."""
    index = json.loads((bundle / "golden" / "index.json").read_text())
    whole = report["depth"] == "trajectory"
    for case, recorded in zip(report["cases"], index["cases"], strict=True):
        steps = recorded["tensors"]["states"]["shape"][0] - 1
        found = {name: [entry for entry in case["checks"] if entry["check"] == name] for name in LIMITS_DB}
        assert case["passed"] and len(found["encode_text"]) >= 1 and len(found["decode_image"]) == 1
        assert (len(found["denoise"]), len(found["free_running"])) == ((steps, steps) if whole else (1, 0))
        for name, entries in found.items():
            for entry in entries:
                assert entry.get("snr_db", entry.get("psnr_db")) >= LIMITS_DB[name], (name, entry)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_stages_and_a_step_are_pytorchs(processor: str, arm_runner: Path, guided: Path) -> None:
    report = json.loads(emulate(arm_runner, processor, "--bundle", guided, "--golden", "--depth", "step"))
    check_limits(report, guided)


def as_here(report: dict[str, Any], bundle: Path) -> None:
    """Compare a report with Python's measurement of the same programs on this machine, at their export.

    Rounded programs differ from PyTorch, and ARM's kernels may round a tie another way; they are not worse.
    """
    parity = json.loads((bundle / "manifest.json").read_text())["parity"]
    here = {entry["check"]: entry["worst"] for entry in parity}
    assert report["passed"]
    for check in ("encode_text", "denoise", "decode_image"):
        entries = [entry for case in report["cases"] for entry in case["checks"] if entry["check"] == check]
        assert len(entries) >= 1
        assert all(entry["snr_db"] >= here[check] - AS_HERE_DB for entry in entries), (check, entries, here[check])


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize(("name", "precision"), [("half", "fp16"), ("int8", "int8")])
def test_rounded_programs_are_as_good_as_here(
    name: str, precision: str, processor: str, arm_runner: Path, request: pytest.FixtureRequest
) -> None:
    bundle = request.getfixturevalue(name)
    report = json.loads(emulate(arm_runner, processor, "--bundle", bundle, "--golden", "--depth", "step"))
    assert report["precision"] == precision
    as_here(report, bundle)


@pytest.mark.full
@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("name", ["guided", "distilled"])
def test_a_trajectory_is_pytorchs(name: str, processor: str, arm_runner: Path, request: pytest.FixtureRequest) -> None:
    bundle = request.getfixturevalue(name)
    check_limits(json.loads(emulate(arm_runner, processor, "--bundle", bundle, "--golden")), bundle)


def test_a_picture_is_nearly_that_of_this_machine(guided: Path, arm_runner: Path, tmp_path: Path) -> None:
    arguments = ("--bundle", guided, "--prompt", "a red apple, 3d", "--seed", 7, "--out", tmp_path / "a.png")
    times = json.loads(emulate(arm_runner, "cortex-a76", *arguments))
    with Image.open(tmp_path / "a.png") as image:
        found = np.asarray(image)
    expected = reference(guided, "a red apple, 3d", 7)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert psnr_db(expected / 255, found / 255) > 60
    assert times["runners"][0]["kind"] == "interpreter" and "emulating aarch64" in times["conditions"]["processor"]


@pytest.fixture(scope="module")
def emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The emoji model's bundle."""
    out = export(open_checkpoint(ROOT / "assets" / "emoji"), tmp_path_factory.mktemp("emoji") / "bundle")
    assert open_bundle(out).manifest.model.name == "emoji"
    return out


@pytest.mark.full
@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_emoji_model_rounded(precision: str, processor: str, arm_runner: Path, tmp_path: Path) -> None:
    bundle = export(open_checkpoint(ROOT / "assets" / "emoji"), tmp_path / "bundle", precision=precision)
    as_here(json.loads(emulate(arm_runner, processor, "--bundle", bundle, "--golden")), bundle)


@pytest.mark.full
@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_emoji_model_over_its_whole_trajectory(processor: str, emoji: Path, arm_runner: Path) -> None:
    check_limits(json.loads(emulate(arm_runner, processor, "--bundle", emoji, "--golden")), emoji)
