"""Bundles with adapters: `denoise` reads their factors, and a drawing turns them on and off."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.artists.artist import bundle_artist
from export.bundle.adapter_files import INDEX, read_adapters, write_adapter
from export.bundle.bundle import Bundle
from export.coreml.options import CoreMLOptions
from export.evidence.golden import check_golden
from export.executorch.lower import lower
from export.executorch.signature import read_delegation
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.golden import read_golden
from export.rewrites.xnnpack import rewrite
from export.signatures import denoise_signature
from export.stages import build_stage
from export.targets import TARGETS
from export.verify import verify_bundle
from mobile_diffusion.adapter_config import AdaptedLayer, AdapterConfig, columns_of
from mobile_diffusion.adapters import Adapters
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import draw
from mobile_diffusion.errors import BundleError, ConfigError
from mobile_diffusion.pipeline import Pipeline

NEURAL_ENGINE = CoreMLOptions("CPU_AND_NE")
RUNTIMES = [
    pytest.param(("onnx", "fp32", None), id="onnx"),
    *(
        pytest.param(rest, id=name, marks=pytest.mark.full)
        for name, *rest in (
            ("onnx-fp16", "onnx", "fp16", None),
            ("xnnpack", "xnnpack", "fp32", None),
            ("xnnpack-fp16", "xnnpack", "fp16", None),
            ("coreml", "coreml", None, None),
            ("coreml-neural-engine", "coreml", None, NEURAL_ENGINE),
            ("executorch", "executorch", None, None),
            ("coreai", "coreai", None, None),
        )
    ),
]
LAYERS = ("to_q", "to_k", "to_out.0", "proj_in", "ff.net.0.proj", "conv1", "conv_shortcut", "conv", "time_emb_proj")
"""Ends of the names of layers: linear ones, 1x1 and 3x3 convolutions, with strides and after upsampling."""
SCALES = {"ink": 0.9, "clay": -0.7}


def switched(model: Model, few: bool = False) -> Model:
    """The tiny model with two adapters of rank 3; with `few`, of the last layer of each kind."""
    weights = {name.removesuffix(".weight"): each for name, each in model.unet.named_parameters() if each.ndim > 1}
    chosen = {end: name for name in weights for end in LAYERS if name.endswith(end)}
    layers = tuple(
        AdaptedLayer(name, each[0].numel(), len(each))
        for name, each in weights.items()
        if (name in chosen.values() if few else name.endswith(LAYERS))
    )
    room = AdapterConfig(("ink", "clay"), 3, layers)
    torch.manual_seed(0)
    factors = torch.randn(room.shape).numpy()
    for place in columns_of(room).values():
        factors[:, :, place.down : place.down_end] *= 0.5 / (place.down_end - place.down) ** 0.5
    schedule = dataclasses.replace(model.config.schedule, steps=2)
    config = dataclasses.replace(model.config, adapters=room, schedule=schedule)
    return dataclasses.replace(model, config=config, adapters=Adapters(room.names, tuple(factors), 2))


def merged(model: Model, scales: dict[str, float]) -> Model:
    """The same with the adapters in its weights, by torch alone."""
    room, adapters = model.config.adapters, model.adapters
    assert room is not None and adapters is not None
    state = {name: each.clone() for name, each in model.unet.state_dict().items()}
    for name, place in columns_of(room).items():
        weight = state[f"{name}.weight"]
        for row, adapter in enumerate(adapters.names):
            both = torch.from_numpy(adapters.factors[row]) * 1.0
            down, up = both[:, place.down : place.down_end], both[:, room.down_width :][:, place.up : place.up_end]
            change = (up.T @ down).reshape(len(weight), *weight.shape[2:], weight.shape[1])
            weight += scales.get(adapter, 0.0) * change.movedim(-1, 1)
    unet = type(model.unet)(model.config.unet).eval()
    unet.load_state_dict(state)
    return dataclasses.replace(model, unet=unet, config=dataclasses.replace(model.config, adapters=None), adapters=None)


@pytest.fixture(scope="module", params=RUNTIMES)
def exported(
    request: pytest.FixtureRequest, tiny_model: Model, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, Model]:
    runtime, precision, options = request.param
    model, target = switched(tiny_model, few=True), TARGETS["android" if precision else "ios"]
    given = None if options is None else {runtime: options}
    plan = plan_export(model.config, target, [runtime], threads=1, precision=precision, options=given)
    return run_export(model, target, tmp_path_factory.mktemp("adapted") / "bundle", plan=plan).bundle, model


def test_every_combination_draws_what_pytorch_draws_with_merged_weights(exported: tuple[Bundle, Model]) -> None:
    bundle, model = exported
    artist = bundle_artist(bundle, None, 1)
    assert artist.adapters is not None and artist.adapters.names == ("ink", "clay")
    limit, pictures = 1 if bundle.manifest.target == "android" else 8, list[np.ndarray]()
    for names in ((), ("ink",), ("clay",), ("ink", "clay")):
        scales = {name: SCALES[name] for name in names}
        expected = Pipeline(merged(model, scales)).generate("a red apple, 3d", 5).astype(int)
        given = artist.adapters.at(scales)
        ours = draw(artist.run_stage, artist.tokenizer, artist.settings, "a red apple, 3d", 5, adapters=given)
        assert np.abs(ours - expected).max() <= limit
        assert all(np.abs(ours - other).max() > 8 for other in pictures)
        pictures.append(expected)
    off = draw(artist.run_stage, artist.tokenizer, artist.settings, "a red apple, 3d", 5)
    assert np.abs(off - pictures[0]).max() <= limit


def test_verify_accepts_it_and_knows_its_adapters(exported: tuple[Bundle, Model]) -> None:
    bundle, model = exported
    assert model.adapters is not None
    found = read_adapters(bundle)
    assert found is not None and all(map(np.array_equal, found.factors, model.adapters.factors))
    assert {INDEX, "adapters/ink.safetensors"} <= {file.path for file in bundle.manifest.files}
    assert verify_bundle(bundle.path).passed
    cases = read_golden(bundle.path)
    for name in ("adapters", "adapter_scales"):
        wrong = [dataclasses.replace(case, **{name: 0.9 * getattr(case, name)}) for case in cases]
        differences = check_golden(bundle, wrong, "trajectory")
        assert [each.place for each in differences] == [f"golden/{number}: {name}" for number in range(len(cases))]


def test_an_index_that_does_not_fit_is_refused(exported: tuple[Bundle, Model], tmp_path: Path) -> None:
    bundle, _ = exported
    index = json.loads((bundle.path / INDEX).read_text())
    copy = dataclasses.replace(bundle, path=tmp_path)
    (tmp_path / "adapters").mkdir()
    for text in ("", "[]", json.dumps({**index, "rank": 2}), json.dumps({**index, "names": ["../ink", "clay"]})):
        (tmp_path / INDEX).write_text(text)
        with pytest.raises(BundleError, match="expected adapters"):
            read_adapters(copy)


@pytest.mark.parametrize("change", [None, rewrite], ids=["as it is", "rewritten for XNNPACK"])
def test_a_step_computes_what_it_computes_with_merged_weights(
    tiny_model: Model, change: Callable[[nn.Module], nn.Module] | None
) -> None:
    model = switched(tiny_model)
    assert model.adapters is not None
    stage, plain = build_stage(model, "denoise"), build_stage(merged(model, SCALES), "denoise")
    torch.manual_seed(1)
    inputs = {spec.name: torch.randn(spec.shape) for spec in plain.inputs} | {"step": torch.tensor([1])}
    given = {name: torch.from_numpy(each) for name, each in model.adapters.at(SCALES).inputs().items()}
    module = stage.module if change is None else change(stage.module)
    with torch.no_grad():
        expected = plain.module(**inputs)
        assert torch.allclose(module(**inputs, **given), expected, atol=1e-4)
        assert not torch.allclose(build_stage(tiny_model, "denoise").module(**inputs), expected, atol=0.1)


@pytest.mark.full
def test_the_step_stays_one_delegate(tiny_model: Model, tmp_path: Path) -> None:
    plain, with_room = (build_stage(model, "denoise") for model in (tiny_model, switched(tiny_model)))
    found = []
    for number, stage in enumerate((plain, with_room)):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(read_delegation(folder / lower(stage, folder)))
    assert found[0].delegates == found[1].delegates == 1
    assert found[0].undelegated == found[1].undelegated


def test_a_model_without_adapters_has_the_same_step_as_before(tiny_model: Model) -> None:
    assert not any("adapter" in spec.name for spec in denoise_signature(tiny_model.config).inputs)
    stage = build_stage(tiny_model, "denoise")
    assert stage.module.unet is tiny_model.unet


def test_a_file_of_later_has_a_name_and_a_room(exported: tuple[Bundle, Model], tmp_path: Path) -> None:
    bundle, model = exported
    room = model.config.adapters
    assert room is not None
    factors = np.full(room.shape[1:], 0.5, np.float32)
    wool, other, broken, ink = (tmp_path / f"{name}.safetensors" for name in ("wool", "other", "broken", "ink"))
    write_adapter(wool, room, factors)
    found = read_adapters(bundle, [wool])
    assert found is not None and (found.names, found.slots) == (("ink", "clay", "wool"), 2)
    assert np.array_equal(found.at({"wool": 1.0}).factors[0], factors)
    write_adapter(other, dataclasses.replace(room, layers=room.layers[::-1]), factors)
    write_adapter(broken, room, factors * np.nan)
    write_adapter(ink, room, factors)
    for file, words in ((other, "expected an adapter of this bundle's layers"), (broken, "expected finite numbers")):
        with pytest.raises(BundleError, match=words):
            read_adapters(bundle, [file])
    with pytest.raises(ConfigError, match="expected each name once, got 'ink' twice"):
        read_adapters(bundle, [ink])


@pytest.mark.parametrize(("runtime", "precision"), [("xnnpack", "int8"), ("onnx", "int8"), ("onnx", "w8a16")])
def test_precisions_that_were_calibrated_are_refused(tiny_model: Model, runtime: str, precision: str) -> None:
    with pytest.raises(ConfigError, match=f"--precision: .* beside adapters, got {runtime} at {precision}"):
        plan_export(switched(tiny_model).config, TARGETS["android"], [runtime], precision=precision)
