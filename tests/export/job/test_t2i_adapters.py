"""Bundles with T2I-Adapters: all of an adapter runs once, and its maps steer every step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from export.artists.artist import bundle_artist
from export.bundle.bundle import Bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.signatures import HINT, STAGES, signature
from export.strided_pyramid import StridedAdapter
from export.targets import TARGETS
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import Model, untrained_model
from mobile_diffusion.config import T2IAdapterConfig
from mobile_diffusion.drawing import draw
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.t2i_adapter import T2IAdapter
from tests.export.job.test_control_nets import RUNTIMES, TARGET_OF, hints


def steered(model: Model) -> Model:
    """The tiny model with two adapters, one of them for grey pictures, that have an effect."""
    unet = model.config.unet
    channels = tuple(level.channels for level in unet.down)
    pair = [T2IAdapterConfig("full_adapter", count, channels, 1, model.config.autoencoder.factor) for count in (3, 1)]
    schedule = dataclasses.replace(model.config.schedule, steps=3)
    torch.manual_seed(0)
    changed = dataclasses.replace(model.config, schedule=schedule, controls=tuple(pair))
    found = untrained_model(changed, model.tokenizer)
    assert found.controls is not None
    for name, weight in found.controls.named_parameters():
        if weight.ndim == 4:
            torch.nn.init.normal_(weight, std=(4 if "conv_in" in name else 1) / weight[0].numel() ** 0.5)
    return found


@pytest.fixture(scope="module", params=RUNTIMES)
def exported(
    request: pytest.FixtureRequest, tiny_model: Model, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, Model]:
    model, target = steered(tiny_model), TARGETS[TARGET_OF[request.param]]
    plan = plan_export(model.config, target, [request.param], threads=1)
    return run_export(model, target, tmp_path_factory.mktemp("steered") / "bundle", plan=plan).bundle, model


def test_the_bundle_draws_as_pytorch_does(exported: tuple[Bundle, Model]) -> None:
    bundle, model = exported
    assert tuple(stage.name for stage in bundle.manifest.stages) == (*STAGES, HINT)
    pipeline, given = Pipeline.from_model(model), hints(0.9, 0.4)
    expected = pipeline.generate("a red apple, 3d", 5, hints=given)
    other = [dataclasses.replace(each, image=1 - each.image) for each in given]
    assert np.abs(pipeline.generate("a red apple, 3d", 5, hints=other).astype(int) - expected).max() > 8
    artist = bundle_artist(bundle, None, 1)
    ours = draw(artist.run_stage, artist.tokenizer, artist.settings, "a red apple, 3d", 5, hints=given)
    limit = 1 if bundle.manifest.target == "android" else 8
    assert np.abs(ours.astype(int) - expected).max() <= limit
    assert verify_bundle(bundle.path).passed


@pytest.mark.parametrize("kind", ["full_adapter", "full_adapter_xl", "light_adapter"])
@pytest.mark.parametrize("channels", [3, 1])
def test_one_convolution_with_a_stride_reads_what_stacked_pixels_are(kind: str, channels: int) -> None:
    torch.manual_seed(0)
    own = T2IAdapter(T2IAdapterConfig(kind, channels, (16, 24, 32, 32), 2, 4)).eval()
    hint = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        found, expected = StridedAdapter(own).maps(hint), own.maps(hint)
    assert len(found) == len(expected) > 3
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(found, expected, strict=True))


def test_denoise_reads_maps_and_no_adapter(tiny_model: Model, tmp_path: Path) -> None:
    config = steered(tiny_model).config
    (features,) = (spec for spec in signature(config, "denoise").inputs if spec.name == "hint_features")
    rows = sum(level.channels // 4**number for number, level in enumerate(config.unet.down))
    assert features.shape == (2, rows, *config.latent_shape[2:]) == signature(config, HINT).outputs[0].shape
