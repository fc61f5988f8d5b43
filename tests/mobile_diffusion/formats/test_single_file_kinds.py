"""Single files as they are published today: other types, other names, other notes.  Diffusers says what they mean."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml
from diffusers.loaders import single_file_utils as ldm
from safetensors.torch import load_file, save_file

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.formats.read_any import read_source
from tests.mobile_diffusion.formats.compvis_files import State, Written, load, read, read_back, rewritten, write


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="module")
def sd2(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("sd2"), "sd2")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_tensor_in_another_type(tmp_path: Path, sd1: Written, dtype: torch.dtype) -> None:
    """The betas too, which are then wrong by up to the type's precision."""
    file = rewritten(tmp_path, sd1, lambda state: {name: tensor.to(dtype) for name, tensor in state.items()})
    source = read(file)
    for part, expected in read_back(file, sd1).items():
        state = load(source, part).state_dict()
        assert all(torch.equal(state[name], tensor.float()) for name, tensor in expected.items())


def test_other_betas_are_refused_in_bfloat16_too(tmp_path: Path, sd1: Written) -> None:
    other = {"betas": torch.linspace(0.00085**0.5, 0.0125**0.5, 1000).square().bfloat16()}
    with pytest.raises(CheckpointError, match="expected betas as Stable Diffusion's"):
        read(rewritten(tmp_path, sd1, lambda state: state | other))
    with pytest.raises(CheckpointError, match="expected betas as Stable Diffusion's"):
        read(rewritten(tmp_path, sd1, lambda state: state | {"betas": torch.arange(1000)}))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_is_named(tmp_path: Path, sd1: Written, dtype: torch.dtype) -> None:
    file = rewritten(tmp_path, sd1, lambda state: {name: tensor.to(dtype) for name, tensor in state.items()})
    with pytest.raises(CheckpointError, match=r"got float8 \(F8_E[45]M[32]\).*; use the") as caught:
        read(file)
    assert "expected floats of 16 bits or more" in str(caught.value)


def test_a_file_without_a_vae_says_so(tmp_path: Path, sd1: Written) -> None:
    def without(state: State) -> State:
        return {name: tensor for name, tensor in state.items() if not name.startswith("first_stage_model.")}

    with pytest.raises(CheckpointError, match="got one with no VAE inside"):
        read(rewritten(tmp_path, sd1, without))


def in_conditioner(state: State) -> State:
    """The names of sd_turbo.safetensors, which generative-models wrote."""
    new = {name.replace("cond_stage_model.model.", "conditioner.embedders.0.model."): t for name, t in state.items()}
    return {name: tensor for name, tensor in new.items() if name != "betas"} | {"denoiser.sigmas": torch.zeros(1000)}


def test_stable_diffusion_2_in_the_names_of_generative_models(tmp_path: Path, sd2: Written) -> None:
    file = rewritten(tmp_path, sd2, in_conditioner)
    source = read(file, prediction="epsilon")
    expected = read_back(file, sd2)
    layers = sd2.text.config.num_hidden_layers  # the converter keeps layer 24 under these names; the network has 23
    last = f"text_model.encoder.layers.{layers}."
    expected["text_encoder"] = {k: t for k, t in expected["text_encoder"].items() if not k.startswith(last)}
    for part in expected:
        state = load(source, part).state_dict()
        assert sorted(state) == sorted(expected[part])
        assert all(torch.equal(state[name], tensor) for name, tensor in expected[part].items())


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("conditioner.embedders.1.model.ln_final.weight", "expected two text encoders of SDXL and its U-Net"),
        ("model.diffusion_model.label_emb.0.0.weight", "this is SDXL's refiner"),
    ],
)
def test_parts_of_sdxl_in_these_names_are_named(tmp_path: Path, sd2: Written, extra: str, message: str) -> None:
    changed = rewritten(tmp_path, sd2, lambda state: in_conditioner(state) | {extra: torch.zeros(64)})
    with pytest.raises(CheckpointError, match=message):
        read(changed)


def test_a_noted_size_that_the_network_cannot_draw(tmp_path: Path, sd1: Written) -> None:
    file = tmp_path / "noted.safetensors"
    save_file(load_file(sd1.file), file, metadata={"modelspec.resolution": "600x516"})
    with pytest.raises(CheckpointError, match="expected multiples of 32 pixels, got 600x516; choose with --size"):
        read(file)
    config = read_source(file, OpenOptions(width=640, height=512)).config
    assert (config.width, config.height) == (640, 512)
    save_file(load_file(sd1.file), file, metadata={"modelspec.resolution": "9" * 5000 + "x512"})
    assert read(file).config.width == 512


CONFIGURATION = """
model:
  params:
    linear_start: 0.00085
    linear_end: 0.012
    timesteps: 1000
    scale_factor: SCALE
    cond_stage_config: {params: {layer: LAYER, layer_idx: 11}}
    first_stage_config:
      params:
        ddconfig: {ch: 32, ch_mult: [1, 2, 2], num_res_blocks: 2, z_channels: 4, in_channels: 3, out_ch: 3}
"""


@pytest.mark.parametrize("scale", ["1", "1.0", "0.18215"])
def test_the_scale_is_what_diffusers_reads_from_the_configuration(tmp_path: Path, sd1: Written, scale: str) -> None:
    file = rewritten(tmp_path, sd1, dict)
    text = CONFIGURATION.replace("SCALE", scale).replace("LAYER", "hidden")
    file.with_suffix(".yaml").write_text(text)
    expected = ldm.create_vae_diffusers_config_from_ldm(yaml.safe_load(text), load_file(file), image_size=64)
    config = read(file).config
    assert config.autoencoder.scaling_factor == expected["scaling_factor"]
    assert type(config.autoencoder.scaling_factor) is float


def test_hidden_is_the_last_layer_as_diffusers_reads_it(tmp_path: Path, sd1: Written) -> None:
    """Diffusers' converter takes no notice of the layer: every tensor of the encoder, the last norm included."""
    file = rewritten(tmp_path, sd1, dict)
    file.with_suffix(".yaml").write_text(CONFIGURATION.replace("SCALE", "0.18215").replace("LAYER", "hidden"))
    source = read(file)
    assert dataclasses.replace(source.config, name="") == dataclasses.replace(read(sd1.file).config, name="")
    state = load(source, "text_encoder").state_dict()
    assert sorted(state) == sorted(read_back(file, sd1)["text_encoder"])


@pytest.mark.parametrize(("value", "message"), [(".inf", "expected a number, got inf"), ("'1'", "expected a number")])
def test_a_scale_that_is_no_number(tmp_path: Path, sd1: Written, value: str, message: str) -> None:
    file = rewritten(tmp_path, sd1, dict)
    file.with_suffix(".yaml").write_text(CONFIGURATION.replace("SCALE", value).replace("LAYER", "last"))
    with pytest.raises(CheckpointError, match=message):
        read(file)


def test_too_many_timesteps_name_the_configuration(tmp_path: Path, sd1: Written) -> None:
    file = rewritten(tmp_path, sd1, dict)
    text = CONFIGURATION.replace("SCALE", "1").replace("LAYER", "last").replace("1000", str(10**12))
    file.with_suffix(".yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"changed\.yaml: .*train_steps.*expected 1 to 10000"):
        read(file)
