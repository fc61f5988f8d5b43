"""SDXL's stages: the contract with two tokenizers and a pooled text, compared with the PyTorch reference."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.bundle.bundle import open_bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.golden import read_golden, tensors_of, write_golden
from export.parity.record import record
from export.parity.trajectories import Case
from export.runners.torch import TorchRunner
from export.signatures import signature
from export.stages import build_stages
from export.targets import TARGETS
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.drawing import DrawSettings, draw
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.presets import XL_PRESETS, preset
from mobile_diffusion.tokenization.tokenizer import ClipPairTokenizer, ClipTokenizer
from mobile_diffusion.unet import UNet, embed_steps
from tests.tiny_models import XL, untrained

GOLDEN = Path(__file__).parents[2] / "assets" / "golden" / "tokenizers"
PROMPT = "wow!!! a red apple"
"""The tokenizers differ: "!" is the second's padding."""


def words() -> ClipPairTokenizer:
    """Two tokenizers that pad differently."""
    return ClipPairTokenizer(*(ClipTokenizer.from_file(GOLDEN / name, 12) for name in ("clip.json", "added.json")))


def sized(**schedule: Any) -> ModelConfig:
    """The narrow SDXL with vocabularies of its tokenizers."""
    first = dataclasses.replace(XL.text.first, vocabulary=49408)
    second = dataclasses.replace(XL.text.second, vocabulary=2021)
    text = dataclasses.replace(XL.text, first=first, second=second, end=2013)
    steps = dataclasses.replace(XL.schedule, **{"steps": 2} | schedule)
    return dataclasses.replace(XL, text=text, schedule=steps)


@pytest.fixture(scope="module")
def model() -> Model:
    return untrained(sized(), words())


@pytest.mark.parametrize("name", XL_PRESETS)
def test_an_app_gives_tokens_of_two_encoders_and_gets_what_denoise_takes(name: str) -> None:
    """The published sizes: the picture's size is no input."""
    config = preset(name)
    text, step = signature(config, "encode_text"), signature(config, "denoise")
    assert [(spec.name, spec.shape) for spec in text.inputs] == [("tokens", (1, 2, 77))]
    assert [(spec.name, spec.shape) for spec in text.outputs] == [("context", (1, 77, 2048)), ("pooled", (1, 1280))]
    guided = ["null_context", "null_pooled", "guidance"] if config.schedule.applied_guidance == "cfg" else []
    noise = ["noise"] if config.schedule.solver == "lcm" else []
    assert [spec.name for spec in step.inputs] == ["latents", "step", "context", "pooled", *guided, *noise]
    assert plan_export(config, TARGETS["android"], ("onnx",)).large


def test_a_network_for_one_size_computes_the_same() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        unet = UNet(XL.unet).eval().requires_grad_(False)
        latents, context, pooled = torch.randn(1, 4, 16, 32), torch.randn(1, 12, 48), torch.randn(1, 20)
    fixed, steps = unet.for_size((XL.height, XL.width)), torch.tensor([999.0, 1.5])
    times = embed_steps(XL, fixed, steps)
    assert times.shape == (2, XL.unet.time_width)
    wanted = unet.predict(latents, embed_steps(XL, unet, steps)[1:], context, pooled)
    torch.testing.assert_close(fixed.predict(latents, times[1:], context, pooled), wanted, atol=1e-5, rtol=1e-5)
    other = unet.for_size((XL.height, XL.width + 8)).predict(latents, times[1:], context, pooled)
    assert (other - wanted).abs().max() > 1e-3
    assert fixed.conv_in is unet.conv_in and unet.add_embedding is not fixed.add_embedding


SHARES = (1.0, 0.5)


@pytest.mark.parametrize(
    ("schedule", "negative"),
    [({}, ""), ({}, "blurred!"), ({"guidance": 1.0}, ""), ({"guidance_shares": SHARES}, "blurred!")],
    ids=["zeros", "negative", "no guidance", "guidance by step"],
)
def test_the_stages_draw_as_the_reference(schedule: dict[str, Any], negative: str) -> None:
    config = sized(**schedule)
    model = untrained(config, words())
    stages = build_stages(model)
    calls: list[str] = []

    def run_stage(name: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        stage = stages[name]
        calls.append(name)
        assert set(arrays) == {spec.name for spec in stage.inputs}
        found = stage.module(**{key: torch.from_numpy(array) for key, array in arrays.items()})
        results = found if isinstance(found, tuple) else (found,)
        return {spec.name: each.numpy() for spec, each in zip(stage.outputs, results, strict=True)}

    settings = DrawSettings.of(config)
    drawn = draw(run_stage, model.tokenizer, settings, PROMPT, 5, None, None, negative)
    wanted = Pipeline(model).generate(PROMPT, 5, negative=negative)
    assert np.abs(drawn.astype(int) - wanted).max() <= 1 and wanted.std() > 5
    assert calls.count("encode_text") == (2 if negative else 1)


def test_golden_vectors_hold_the_pooled_text_and_no_zeros(model: Model, tmp_path: Path) -> None:
    settings, case = DrawSettings.of(model.config), Case(PROMPT, 7)
    drawn = record(TorchRunner(build_stages(model), 1), model.tokenizer, settings, case)
    assert sorted(tensors_of(drawn)) == ["context", "image", "pooled", "states", "tokens"]
    write_golden(tmp_path, [drawn])
    (again,) = read_golden(tmp_path)
    inputs = again.step_inputs(1, settings)
    assert set(inputs) == {spec.name for spec in signature(model.config, "denoise").inputs}
    assert not inputs["null_context"].any() and not inputs["null_pooled"].any()
    np.testing.assert_array_equal(inputs["pooled"], drawn.contexts["pooled"])


@pytest.mark.full
@pytest.mark.parametrize(("target", "runtime"), [("android", "onnx"), ("android", "xnnpack"), ("ios", "coreml")])
def test_a_bundle_is_exported_verified_and_refused_when_it_lies(
    target: str, runtime: str, model: Model, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    plan = plan_export(model.config, TARGETS[target], (runtime,), threads=1)
    exported = run_export(model, TARGETS[target], out, plan=plan)
    assert exported.parity.passed
    assert {row.check for row in exported.parity.rows()} >= {"encode_text", "denoise", "free_running", "picture"}
    bundle = open_bundle(out)
    assert bundle.settings() == DrawSettings.of(model.config)
    assert bundle.manifest.tokenizer.files == ("tokenizer.json", "tokenizer_2.json")
    found = verify_bundle(out)
    assert found.passed, found.differences
    values = json.loads((out / "manifest.json").read_text())
    values["schedule"]["zero_null"] = False
    (out / "manifest.json").write_text(json.dumps(values))
    places = [difference.place for difference in verify_bundle(out).differences]
    assert any("tokens of null_context" in place for place in places), places
