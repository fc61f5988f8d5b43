"""Bundles that decode and encode by tiles: drawn as PyTorch draws, verified, and refused where the tiles do not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from export.artists.artist import bundle_artist
from export.bundle.bundle import Bundle
from export.job.calibration import stage_inputs
from export.job.command import options
from export.job.plan import plan_export
from export.job.reference import open_reference
from export.job.run import run_export
from export.parity.record import record
from export.parity.trajectories import CASES
from export.signatures import TensorSpec, signature
from export.targets import TARGETS
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import DrawSettings, Start, draw
from mobile_diffusion.errors import BundleError
from mobile_diffusion.pipeline import Pipeline

TILE = 16


@pytest.fixture(scope="module")
def tiled_model(tiny_model: Model) -> Model:
    schedule = dataclasses.replace(tiny_model.config.schedule, steps=2)
    return dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, schedule=schedule, tile=TILE))


@pytest.fixture(
    scope="module",
    params=[name if name == "android" else pytest.param(name, marks=pytest.mark.full) for name in TARGETS],
)
def bundle(request: pytest.FixtureRequest, tiled_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of each target, which can start from a picture."""
    target, folder = TARGETS[request.param], tmp_path_factory.mktemp("tiles")
    plan = plan_export(tiled_model.config, target, images=True, threads=1)
    return run_export(tiled_model, target, folder / target.name, plan=plan).bundle


def test_tiles_change_the_autoencoder_alone(tiny_model: Model, tiled_model: Model) -> None:
    for stage in ("encode_text", "denoise"):
        same = dataclasses.replace(tiled_model.config, tile=0)
        assert signature(tiled_model.config, stage) == signature(same, stage)
    latents = TensorSpec("latents", "float32", (1, 4, 8, 8))
    image = TensorSpec("image", "float32", (1, 3, TILE, TILE))
    for name, first, second in (("decode_image", latents, image), ("encode_image", image, latents)):
        found = signature(tiled_model.config, name)
        assert (found.inputs, found.outputs) == ((first,), (second,))


def test_every_tile_calibrates(tiled_model: Model) -> None:
    settings = DrawSettings.of(tiled_model.config)
    reference = open_reference(tiled_model, plan_export(tiled_model.config, TARGETS["android"], threads=1))
    drawn = record(reference, tiled_model.tokenizer, settings, CASES[0])
    samples = stage_inputs([drawn], settings)
    assert [tuple(each["latents"].shape) for each in samples["decode_image"]] == [(1, 4, 8, 8)] * 9
    assert [tuple(each["image"].shape) for each in samples["encode_image"]] == [(1, 3, TILE, TILE)] * 9


@pytest.mark.full
def test_every_runtime_draws_as_pytorch_does(bundle: Bundle, tiled_model: Model) -> None:
    start = Start(np.random.default_rng(0).random((1, 3, 32, 32), np.float32), strength=0.5)
    expected = Pipeline(tiled_model).generate("a red apple", 5, start=start)
    for runtime in bundle.manifest.runtimes:
        artist = bundle_artist(bundle, runtime.name, 1)
        assert artist.settings.tile == (8, 8)
        ours = draw(artist.run_stage, artist.tokenizer, artist.settings, "a red apple", 5, start=start)
        assert np.abs(ours.astype(int) - expected).max() <= (8 if runtime.name == "coreml" else 1)


@pytest.mark.full
def test_the_bundle_verifies_and_names_its_tiles(bundle: Bundle) -> None:
    verify_bundle(bundle.path, threads=1).require()
    words = options(bundle.manifest, "step")
    assert words[words.index("--tile") + 1] == str(TILE)


@pytest.mark.full
def test_a_bundle_whose_tiles_do_not_fit_is_refused(bundle: Bundle) -> None:
    for stage, name, shape in (
        ("decode_image", "latents", (1, 4, 8, 9)),
        ("decode_image", "latents", (1, 3, 8, 8)),
        ("decode_image", "image", (1, 3, 17, 16)),
        ("encode_image", "image", (1, 3, 32, 32)),
        ("denoise", "latents", (1, 4, 7, 7)),
    ):
        with pytest.raises(BundleError, match="expected stages that decode and encode latents"):
            _changed(bundle, stage, name, shape).settings()


def _changed(bundle: Bundle, stage: str, name: str, shape: tuple[int, ...]) -> Bundle:
    """The bundle with another shape of one tensor of a stage."""

    def change(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(dataclasses.replace(each, shape=shape) if each.name == name else each for each in specs)

    stages = tuple(
        dataclasses.replace(each, inputs=change(each.inputs), outputs=change(each.outputs))
        if each.name == stage
        else each
        for each in bundle.manifest.stages
    )
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, stages=stages))
