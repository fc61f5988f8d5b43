"""Whole exports of the tiny model: what is in a bundle, what it draws, and that a failed one leaves nothing."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from export.artists.artist import bundle_artist, open_artist
from export.bundle.bundle import open_bundle
from export.bundle.manifest import schema
from export.job import run as run_module
from export.job.plan import plan_export
from export.job.run import Exported, run_export
from export.parity.golden import read_golden
from export.runtime import Runtime
from export.signatures import STAGES
from export.stages import ExportStage, build_stage, build_stages
from export.targets import RUNTIMES, TARGETS, find_target, lower
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.drawing import draw
from mobile_diffusion.errors import (
    BundleError,
    CheckpointError,
    ConfigError,
    ExportError,
    MobileDiffusionError,
    ParityError,
    PromptError,
)
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.noise import gaussian
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.staging import staged_folder
from tests.export.evidence.planting import rehash

Exports = Mapping[str, Exported]
targets = pytest.mark.parametrize("target", TARGETS)


@targets
def test_bundle_opens_and_fits_the_schema(exported: Exports, target: str) -> None:
    path = exported[target].bundle.path
    manifest = open_bundle(path).manifest
    values = json.loads((path / "manifest.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(values)
    assert manifest.target == target
    assert [runtime.name for runtime in manifest.runtimes] == list(TARGETS[target].defaults)
    assert [runtime.primary for runtime in manifest.runtimes] == [True] + [False] * (len(manifest.runtimes) - 1)
    assert {tool.name for tool in manifest.tools} >= {"python", "torch"}


@targets
def test_manifest_says_what_the_model_is(exported: Exports, target: str, tiny_checkpoint: Path) -> None:
    manifest, model = exported[target].bundle.manifest, open_checkpoint(tiny_checkpoint)
    schedule = model.config.schedule
    assert manifest.model.source_sha256 == model.source_hash
    assert (manifest.schedule.prediction, manifest.schedule.spacing) == (schedule.prediction, schedule.spacing)
    assert len(manifest.schedule.timesteps) == schedule.steps
    for entry, stage in zip(manifest.stages, build_stages(model).values(), strict=True):
        assert (entry.name, entry.inputs, entry.outputs) == (stage.name, stage.inputs, stage.outputs)


@targets
def test_every_artifact_stays_in_the_bundle(exported: Exports, target: str) -> None:
    bundle = exported[target].bundle
    for runtime in bundle.manifest.runtimes:
        assert set(bundle.artifacts(runtime)) == set(STAGES)
        for path in bundle.artifacts(runtime).values():
            assert (bundle.path / path).exists()


@targets
def test_golden_vectors_are_plain_little_endian_files(exported: Exports, target: str, tiny_model: Model) -> None:
    path = exported[target].bundle.path
    index = json.loads((path / "golden/index.json").read_text())
    for case in index["cases"]:
        entry = case["tensors"]["states"]
        data = (path / entry["path"]).read_bytes()
        values = np.array(struct.unpack(f"<{math.prod(entry['shape'])}f", data), np.float32).reshape(entry["shape"])
        noise = gaussian(int(case["seed"]), tiny_model.config.latent_shape)
        np.testing.assert_array_equal(values[:1], noise)
        assert entry["shape"] == [tiny_model.config.schedule.steps + 1, *tiny_model.config.latent_shape[1:]]
        tokens = case["tensors"]["tokens"]
        ids = struct.unpack(f"<{math.prod(tokens['shape'])}i", (path / tokens["path"]).read_bytes())
        assert ids == tuple(tiny_model.tokenizer.encode(case["prompt"]).ids)


@targets
def test_golden_latents_are_those_of_the_pipeline(exported: Exports, target: str, tiny_checkpoint: Path) -> None:
    """The reference is compared with the independent loop of `Pipeline`."""
    pipeline = Pipeline(open_checkpoint(tiny_checkpoint))
    for golden in read_golden(exported[target].bundle.path):
        seen: list[np.ndarray] = []
        picture = pipeline.generate(
            golden.case.prompt, golden.case.seed, on_step=lambda step, latents, seen=seen: seen.append(latents)
        )
        for step, latents in enumerate(seen):
            np.testing.assert_allclose(golden.states[step + 1], latents[0], atol=1e-4)
        drawn = np.rint(golden.image[0].transpose(1, 2, 0) * 255)
        assert np.abs(drawn - picture).max() <= 1


@targets
def test_reports_are_valid_and_the_page_needs_no_other_file(exported: Exports, target: str) -> None:
    path = exported[target].bundle.path
    parity = json.loads((path / "parity.json").read_text())
    latency = json.loads((path / "latency.json").read_text())
    page = (path / "report.html").read_text()
    assert parity["passed"] is True
    assert {row["runtime"] for row in parity["summary"]} == set(TARGETS[target].defaults)
    assert len(latency["runners"]) == 1 + len(TARGETS[target].defaults)
    assert "data:image/png;base64," in page
    assert 'src="http' not in page and "<link" not in page and "<script" not in page
    assert "Not verified here" in page


@targets
def test_verify(exported: Exports, target: str, tiny_checkpoint: Path) -> None:
    report = verify_bundle(exported[target].bundle.path, tiny_checkpoint, threads=1)
    assert report.passed
    assert list(report.parity.precisions) == ["torch", *TARGETS[target].defaults]


def test_verify_with_another_checkpoint(exported: Exports, tiny_model: Model, tmp_path: Path) -> None:
    other = open_checkpoint_with_other_weights(tiny_model, tmp_path / "other")
    with pytest.raises(CheckpointError, match="was made from"):
        verify_bundle(exported["android"].bundle.path, other, threads=1)


def open_checkpoint_with_other_weights(model: Model, path: Path) -> Path:
    save_checkpoint(model, path)
    changed = open_checkpoint(path)
    with torch.no_grad():
        next(changed.unet.parameters()).mul_(2)
    save_checkpoint(changed, path, overwrite=True)
    return path


@pytest.mark.parametrize("kind", [".pte", ".onnx", ".bin", ".mlmodel", ".json", ".html"])
def test_flipped_byte_in_every_kind_of_file(copy_of: Callable[[str], Path], kind: str) -> None:
    path = copy_of("ios" if kind == ".mlmodel" else "android")
    files = [file for file in path.rglob(f"*{kind}") if file.name != "manifest.json"]
    assert files
    for file in files[:3]:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0x10
        file.write_bytes(data)
        with pytest.raises(BundleError, match=f"{file.name}.*damaged"):
            verify_bundle(path)
        data[len(data) // 2] ^= 0x10
        file.write_bytes(data)


def test_damaged_weights_behind_right_hashes_fail_the_gates(copy_of: Callable[[str], Path]) -> None:
    """A wrong program with a manifest to match: hashes agree, parity does not."""
    path = copy_of("android")
    first, second = ((path / f"golden/{number}/states.bin").read_bytes() for number in (0, 1))
    noise = len(first) // 9  # the first of 9 states, which is compared with the seed
    (path / "golden/1/states.bin").write_bytes(second[:noise] + first[noise:])
    rehash(path)
    found = verify_bundle(path, threads=1)
    assert {failure.measurement.runtime for failure in found.parity.failures} == {"xnnpack", "onnx"}
    with pytest.raises(ParityError, match="gates failed"):
        found.require()


class Spoiled:
    """A runner that spoils one output of one stage."""

    def __init__(self, runner: object, stage: str, value: float) -> None:
        self.runner, self.stage, self.value, self.name = runner, stage, value, "spoiled"
        self.threads = 1

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self.runner.run(stage, **arrays)  # type: ignore[attr-defined]
        if stage == self.stage:
            (name,) = outputs
            outputs = {name: outputs[name].copy()}
            outputs[name].flat[5] = self.value
        return outputs


@pytest.mark.parametrize(
    ("stage", "value"), [*((stage, math.nan) for stage in STAGES), ("denoise", math.inf), ("denoise", 1e9)]
)
def test_failed_gate_leaves_no_bundle(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, value: float
) -> None:
    """With PyTorch instead of the programs, so that lowering takes no time."""
    from export.runners.torch import TorchRunner

    model = open_checkpoint(tiny_checkpoint)
    plan = plan_export(model.config, TARGETS["ios"], threads=1)
    runner = Spoiled(TorchRunner.from_model(model, threads=1), stage, value)
    monkeypatch.setattr(run_module, "lower", fake_lower)
    monkeypatch.setattr(run_module, "load_runner", lambda *arguments: runner)
    with pytest.raises(ParityError, match=stage):
        run_export(model, TARGETS["ios"], tmp_path / "ios", plan=plan)
    assert os.listdir(tmp_path) == []


def fake_lower(runtime: object, stage: ExportStage, folder: Path) -> str:
    (folder / stage.name).write_text("a program")
    return stage.name


def test_output_in_or_around_the_checkpoint_is_refused(tiny_checkpoint: Path) -> None:
    model = open_checkpoint(tiny_checkpoint)
    before = sorted(os.listdir(tiny_checkpoint))
    for out in (tiny_checkpoint, tiny_checkpoint / "ios", tiny_checkpoint.parent, tiny_checkpoint / "a/../ios"):
        with pytest.raises(ExportError, match="apart from the checkpoint"):
            run_export(model, TARGETS["ios"], out, force=True)
    assert sorted(os.listdir(tiny_checkpoint)) == before


@targets
def test_bundles_draw_what_pytorch_draws(exported: Exports, target: str, tiny_checkpoint: Path) -> None:
    reference = open_artist(tiny_checkpoint, None)
    expected = draw(reference.run_stage, reference.tokenizer, reference.settings, "a cat", 11)
    for name in TARGETS[target].defaults:
        artist = bundle_artist(exported[target].bundle, name, threads=1)
        picture = draw(artist.run_stage, artist.tokenizer, artist.settings, "a cat", 11)
        limit = 1 if RUNTIMES[name].precision == "fp32" else 8
        assert np.abs(picture.astype(int) - expected).max() <= limit, name


def test_artists_that_cannot_be(exported: Exports, tiny_checkpoint: Path) -> None:
    bundle = exported["android"].bundle.path
    with pytest.raises(ConfigError, match="steps: expected no such option with --bundle"):
        open_artist(tiny_checkpoint, bundle, OpenOptions(steps=4))
    with pytest.raises(ConfigError, match="xnnpack, onnx"):
        open_artist(tiny_checkpoint, bundle, runtime="coreml")
    with pytest.raises(ConfigError, match="--bundle"):
        open_artist(tiny_checkpoint, None, runtime="coreml")
    with pytest.raises(ConfigError, match="ios, android"):
        find_target("windows")
    assert open_artist(tiny_checkpoint, bundle, threads=1).settings.steps == 8


@pytest.mark.parametrize("prompt", ["", "яблоко 🍎 蘋果", "\u202e" * 50, "word " * 20_000])
def test_prompts_of_any_kind_draw(exported: Exports, tiny_checkpoint: Path, prompt: str) -> None:
    artist = bundle_artist(exported["android"].bundle, "onnx", threads=1)
    assert draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, 1).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("prompt", "seed", "guidance"),
    [("a\0b", 0, 3.0), ("a", -1, 3.0), ("a", 2**64, 3.0), ("a", 0, math.nan), ("a", 0, 31)],
)
def test_prompts_that_cannot_be_drawn(exported: Exports, prompt: str, seed: int, guidance: float) -> None:
    artist = bundle_artist(exported["android"].bundle, "onnx", threads=1)
    with pytest.raises(PromptError) as caught:
        draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, seed, guidance)
    assert isinstance(caught.value, MobileDiffusionError)


LOWERED_HERE = {name: runtime for name, runtime in RUNTIMES.items() if name != "qnn"}
"""QNN's lowering wants Qualcomm's SDK, and says so before it writes."""


@pytest.mark.parametrize("runtime", LOWERED_HERE.values(), ids=LOWERED_HERE)
def test_every_lowering_on_a_full_disk_is_one_line(runtime: Runtime, tiny_model: Model, small_disk: Path) -> None:
    """What libraries raise when a write fails differs; a text encoder does not fit into this file system."""
    stage = build_stage(tiny_model, "encode_text")
    with pytest.raises(ExportError, match="full disk"), staged_folder(small_disk / "out") as folder:
        lower(runtime, stage, folder)
    assert os.listdir(small_disk) == []
