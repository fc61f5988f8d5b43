"""Adapters that a drawing turns on and off, compared with diffusers' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor, nn

from mobile_diffusion.adapted import adapted
from mobile_diffusion.adapter_config import AdaptedLayer, AdapterConfig
from mobile_diffusion.adapters import Adapters
from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.errors import CheckpointError, ConfigError, MobileDiffusionError, PromptError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.pipeline import Pipeline
from tests.mobile_diffusion.formats.conftest import Publish, published
from tests.mobile_diffusion.formats.lora_files import (
    Networks,
    kohya_state,
    networks,
    text_lora,
    unet_file,
    unet_lora,
)

__all__ = ["published"]
ATTENTION = r".*\.(to_q|to_k|to_v|to_out\.0)"
COMBINATIONS = [{}, {"ink": 1.0}, {"clay": 0.7}, {"ink": 0.8, "clay": -0.6}]


@pytest.fixture(scope="module")
def sd15(published: Publish) -> Networks:
    return networks(published, "sd15")


@pytest.fixture(scope="module")
def files(sd15: Networks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two LoRAs of diffusers' format: one of every kind of layer, one of attention alone and of a lower rank."""
    folder = tmp_path_factory.mktemp("adapters")
    wide, narrow = unet_lora(sd15), unet_lora(sd15, r=2, lora_alpha=3, target_modules=ATTENTION)
    for name, model in (("ink", wide), ("clay", narrow)):
        unet_file(folder / name, model)
    return {name: next((folder / name).glob("*.safetensors")) for name in ("ink", "clay")}


@pytest.fixture(scope="module")
def model(sd15: Networks, files: dict[str, Path]) -> Model:
    return open_checkpoint(sd15.folder, OpenOptions(adapters=tuple(files.items())))


@pytest.fixture(scope="module")
def theirs(sd15: Networks, files: dict[str, Path]) -> Iterator[nn.Module]:
    pipe = StableDiffusionPipeline.from_pretrained(sd15.folder, safety_checker=None)
    for name, file in files.items():
        pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=name)
    yield pipe.unet


def test_rank_and_layers_are_those_of_all_adapters(model: Model) -> None:
    room = model.config.adapters
    assert room is not None and model.adapters is not None
    assert (room.names, room.rank) == (("ink", "clay"), 4)
    assert np.stack(model.adapters.factors).shape == room.shape
    names = [layer.name for layer in room.layers]
    assert any("downsamplers" in name for name in names) and any("proj_in" in name for name in names)
    assert not model.adapters.factors[1][2:].any()  # of rank 2


@pytest.mark.parametrize("scales", COMBINATIONS, ids=str)
def test_every_combination_predicts_what_diffusers_predicts(
    model: Model, theirs: nn.Module, scales: dict[str, float]
) -> None:
    torch.manual_seed(1)
    width, length = model.config.unet.context_width, model.config.text.max_tokens
    latents, context = torch.randn(2, 4, 16, 8), torch.randn(2, length, width)
    time = torch.tensor([301, 301])
    if scales:
        theirs.enable_adapters()  # type: ignore[operator]
        theirs.set_adapters(list(scales), list(scales.values()))  # type: ignore[operator]
    else:
        theirs.disable_adapters()  # type: ignore[operator]
    assert model.adapters is not None
    given = {name: torch.tensor(values) for name, values in model.adapters.at(scales).inputs().items()}
    network, factors = adapted(model.unet, model.config.adapters)
    with torch.inference_mode():
        expected: Tensor = theirs(latents, time, context).sample
        factors.set(given["adapters"], given["adapter_scales"])
        found = network(latents, time, context)
        plain = model.unet(latents, time, context)
    spread = float(expected.std())
    assert float((found - expected).abs().max()) < 1e-5 * spread
    assert (float((found - plain).abs().max()) > 0.01 * spread) == bool(scales)
    assert not any("factors" in name or "adapters" in name for name in network.state_dict())


@pytest.mark.parametrize(("kernel", "stride", "side"), [(1, 1, 6), (3, 1, 6), (3, 2, 6), (3, 2, 7), (5, 2, 9)])
def test_a_convolution_adds_what_its_merged_kernel_adds(kernel: int, stride: int, side: int) -> None:
    torch.manual_seed(0)
    own = nn.Conv2d(5, 7, kernel, stride=stride, padding=kernel // 2)
    down, up = torch.randn(3, 5, kernel, kernel), torch.randn(7, 3)
    size = 5 * kernel * kernel
    network, factors = adapted(nn.Sequential(own), AdapterConfig(("a",), 3, (AdaptedLayer("0", size, 7),)))
    x = torch.randn(2, 5, side, side + 1)
    factors.set(torch.cat([down.flatten(2).transpose(1, 2).flatten(1), up.T], dim=1)[None], torch.tensor([0.5]))
    found = network(x)
    own.weight.data += 0.5 * torch.einsum("or,rikl->oikl", up, down)
    assert torch.allclose(found, own(x), atol=1e-4)


def test_drawings_change_with_the_scales(model: Model) -> None:
    pipeline = Pipeline(model, steps=1)
    plain, inked = (pipeline.generate("a cat", 3, adapters=scales) for scales in ({}, {"ink": 2.0}))
    assert np.abs(plain.astype(int) - inked).max() > 2
    bare = Pipeline(open_checkpoint(model.path or ""), steps=1)
    assert np.abs(plain.astype(int) - bare.generate("a cat", 3)).max() <= 1
    with pytest.raises(PromptError, match="adapter: expected none, as this model has none, got 'ink'"):
        bare.generate("a cat", adapters={"ink": 1.0})


@pytest.mark.parametrize(
    ("scales", "words"),
    [
        ({"inc": 1.0}, "adapter: expected one of ink, clay, got 'inc'"),
        ({"ink": 5.1}, "adapter ink: expected a scale from -5 to 5, got 5.1"),
        ({"ink": float("nan")}, "adapter ink: expected a scale from -5 to 5, got nan"),
    ],
)
def test_scales_that_cannot_be_used(scales: dict[str, float], words: str) -> None:
    with pytest.raises(PromptError, match=words):
        Adapters(("ink", "clay"), (np.zeros((1, 1), np.float32),) * 2, 2).at(scales)


def test_more_adapters_than_slots_take_turns() -> None:
    factors = tuple(np.full((2, 3), float(number), np.float32) for number in range(1, 5))
    adapters = Adapters(("a", "b", "c", "d"), factors, 2)
    cases: dict[tuple[int, int], dict[str, float]] = {(0, 0): {}, (4, 0): {"d": 1.0}, (4, 3): {"d": 1.0, "c": 2.0}}
    for numbers, scales in (cases | {(2, 0): {"a": 0.0, "b": 1.0}}).items():
        found = adapters.at(scales)
        assert found.factors[:, 0, 0].tolist() == list(numbers)
        assert found.scales.tolist() == [scales["abcd"[number - 1]] if number else 0.0 for number in numbers]
    with pytest.raises(PromptError, match="adapter: expected up to 2 at once, for which there is room, got 3"):
        adapters.at({"a": 1.0, "b": 1.0, "d": -1.0})


def test_files_that_cannot_be_turned_on_and_off(sd15: Networks, files: dict[str, Path], tmp_path: Path) -> None:
    ink = files["ink"]
    both = tmp_path / "both.safetensors"
    save_file(kohya_state(unet_lora(sd15), text_lora(sd15), "lora_te_"), both)
    unet_file(tmp_path / "dora", unet_lora(sd15, use_dora=True))
    early = unet_lora(sd15, target_modules=r"time_embedding\.linear_1")
    unet_file(tmp_path / "early", early)
    wrong: list[tuple[tuple[tuple[str, Path], ...], type[MobileDiffusionError], str]] = [
        ((("ink", ink), ("ink", ink)), ConfigError, "--adapter: expected each name once, got 'ink' twice"),
        ((("a b", ink),), ConfigError, "--adapter: expected a name of letters, digits, - and _, got 'a b'"),
        ((("a", both),), CheckpointError, "expected an adapter of the U-Net alone, got one of the text_encoder"),
        ((("a", tmp_path / "dora"),), CheckpointError, "expected two factors per layer, as of a plain LoRA"),
        ((("a", tmp_path / "early"),), CheckpointError, "expected layers that read the picture"),
        ((("a", tmp_path / "none.safetensors"),), CheckpointError, "expected a LoRA, got nothing there"),
    ]
    for adapters, kind, words in wrong:
        with pytest.raises(kind, match=words):
            open_checkpoint(sd15.folder, OpenOptions(adapters=adapters))


def test_an_adapter_of_another_model_is_refused(published: Publish, files: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"the LoRA is for another model|not in this model"):
        open_checkpoint(published("sd21-base"), OpenOptions(adapters=(("ink", files["ink"]),)))


def test_a_model_with_adapters_is_not_saved(model: Model, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a model without adapters"):
        save_checkpoint(model, tmp_path / "saved")
