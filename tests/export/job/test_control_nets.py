"""Bundles with ControlNets: hints are encoded once, and steer every step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from export.artists.artist import bundle_artist
from export.bundle.bundle import Bundle
from export.evidence.golden import check_golden
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.golden import read_golden
from export.signatures import HINT, STAGES, denoise_signature
from export.stages import build_stage
from export.targets import TARGETS
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import Model, untrained_model
from mobile_diffusion.config import ControlConfig, UNetLevel
from mobile_diffusion.drawing import Hint, draw
from mobile_diffusion.errors import PromptError
from mobile_diffusion.pipeline import Pipeline

TARGET_OF = {"onnx": "android", "xnnpack": "android", "coreml": "ios", "coreai": "ios"}
RUNTIMES = ["onnx", *(pytest.param(name, marks=pytest.mark.full) for name in TARGET_OF if name != "onnx")]
COUNT = 2


def steered(model: Model, count: int = COUNT) -> Model:
    """The tiny model with ControlNets that have a middle and an effect."""
    unet = model.config.unet
    mid = UNetLevel(unet.down[-1].channels, 2, 1)
    channels = (4,) + (8,) * (model.config.autoencoder.factor.bit_length() - 1)
    control = ControlConfig(dataclasses.replace(unet, mid=mid), channels)
    schedule = dataclasses.replace(model.config.schedule, steps=3)
    torch.manual_seed(0)
    changed = untrained_model(
        dataclasses.replace(model.config, schedule=schedule, controls=(control,) * count), model.tokenizer
    )
    assert changed.controls is not None
    for net in changed.controls:
        for name, weight in net.named_parameters():
            if weight.ndim == 4 and "controlnet" in name:
                torch.nn.init.normal_(weight, std=2 / weight[0].numel() ** 0.5)
    return changed


def hints(*scales: float) -> list[Hint]:
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    picture = np.stack([ramp, ramp.T, 1 - ramp])[None]
    return [Hint(np.roll(picture, 7 * number, axis=-1), scale) for number, scale in enumerate(scales)]


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def exported(runtime: str, tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Model]:
    model, target = steered(tiny_model), TARGETS[TARGET_OF[runtime]]
    plan = plan_export(model.config, target, [runtime], threads=1)
    return run_export(model, target, tmp_path_factory.mktemp("steered") / "bundle", plan=plan).bundle, model


def test_the_bundle_draws_as_pytorch_does(exported: tuple[Bundle, Model]) -> None:
    bundle, model = exported
    assert tuple(stage.name for stage in bundle.manifest.stages) == (*STAGES, HINT)
    assert bundle.settings().controls == COUNT
    pipeline, given = Pipeline.from_model(model), hints(0.9, 0.4)
    expected = pipeline.generate("a red apple, 3d", 5, hints=given)
    for other in (hints(0.9, 1.4), [given[0], dataclasses.replace(given[1], image=1 - given[1].image)]):
        assert np.abs(pipeline.generate("a red apple, 3d", 5, hints=other).astype(int) - expected).max() > 8
    artist = bundle_artist(bundle, None, 1)
    ours = draw(artist.run_stage, artist.tokenizer, artist.settings, "a red apple, 3d", 5, hints=given)
    limit = 1 if bundle.manifest.runtimes[0].name in ("onnx", "xnnpack") else 8
    assert np.abs(ours.astype(int) - expected).max() <= limit
    with pytest.raises(PromptError, match="hint: expected 2, as this model has 2 ControlNets, got none"):
        draw(artist.run_stage, artist.tokenizer, artist.settings, "a")


def test_verify_accepts_it_and_knows_its_hints(exported: tuple[Bundle, Model], runtime: str) -> None:
    bundle, _ = exported
    cases = read_golden(bundle.path)
    assert all(case.hints is not None and case.hints.shape == (COUNT, 3, 32, 32) for case in cases)
    assert cases[0].hint_scales is not None and len(set(cases[0].hint_scales.tolist())) == COUNT
    if runtime != "onnx":
        return
    assert verify_bundle(bundle.path).passed
    for name in ("hints", "hint_scales"):
        wrong = [dataclasses.replace(case, **{name: 0.9 * getattr(case, name)}) for case in cases]
        found = check_golden(bundle, wrong, "trajectory")
        assert [each.place for each in found] == [f"golden/{number}: {name}" for number in range(len(cases))]


def test_a_model_without_control_nets_has_the_same_step_as_before(tiny_model: Model, tmp_path: Path) -> None:
    """Its signature has no hint, and its program no module of a ControlNet."""
    assert not any("hint" in spec.name for spec in denoise_signature(tiny_model.config).inputs)
    assert plan_export(tiny_model.config, TARGETS["android"]).stages == STAGES
    stage, with_nets = build_stage(tiny_model, "denoise"), build_stage(steered(tiny_model), "denoise")
    assert not any(name.startswith("controls.") for name in stage.module.state_dict())
    names = set(with_nets.module.state_dict())
    assert any(name.startswith("controls.1.net.controlnet_down_blocks") for name in names)
    assert not any("controlnet_cond_embedding" in name for name in names)
