"""Diffusers folders that cannot be opened: each raises one line that names the file, before a weight is read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.errors import CheckpointError
from tests.mobile_diffusion.formats.conftest import Publish, copy_tree, edit_json, replace

UNET = "diffusion_pytorch_model.safetensors"


def one_line(path: Path) -> str:
    """The message of the CheckpointError that opening, without reading weights, must raise."""
    with pytest.raises(CheckpointError) as caught:
        open_source(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("pipeline", "family"),
    [
        ("StableDiffusionXLControlNetPipeline", "SDXL with a ControlNet"),
        ("StableDiffusion3Pipeline", "Stable Diffusion 3"),
        ("FluxPipeline", "Flux"),
        ("PixArtSigmaPipeline", "PixArt"),
        ("FlaxStableDiffusionPipeline", "a checkpoint for JAX"),
        ("SomethingNewPipeline", "a SomethingNewPipeline"),
    ],
)
def test_other_families_are_refused_by_name(folder: Path, pipeline: str, family: str) -> None:
    edit_json(folder / "model_index.json", _class_name=pipeline)
    message = one_line(folder)
    assert message.startswith(f"{folder}/model_index.json: this is {family}")
    assert "expected a relative of Stable Diffusion 1, 2 or XL" in message


def test_a_component_of_another_class_is_refused(folder: Path) -> None:
    edit_json(folder / "model_index.json", text_encoder=["transformers", "T5EncoderModel"])
    assert "text_encoder: expected CLIPTextModel, got T5EncoderModel" in one_line(folder)


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("unet", {"in_channels": 7}, "an upscaler"),
        ("unet", {"in_channels": 6}, "or 9 (an inpainting network's)"),
        ("unet", {"addition_embed_type": "text_time"}, "'addition_time_embed_dim'"),
        ("unet", {"class_embed_type": "timestep"}, "'class_embed_type'"),
        ("unet", {"transformer_layers_per_block": 2}, "blocks.1.norm1.weight' is missing"),
        ("unet", {"only_cross_attention": True}, "'only_cross_attention'"),
        ("unet", {"flip_sin_to_cos": 1}, "'flip_sin_to_cos': expected True, got 1"),
        ("unet", {"norm_eps": 1e-6}, "'norm_eps'"),
        ("unet", {"new_option": 3}, "'new_option': expected no such option, got 3"),
        ("unet", {"sample_size": None}, "'sample_size': expected the size of the latents, got None"),
        ("unet", {"layers_per_block": "two"}, "'layers_per_block'"),
        ("unet", {"block_out_channels": []}, "'block_out_channels'"),
        ("unet", {"norm_num_groups": 7}, "groups"),
        ("unet", {"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}, "'mid_block_type'"),
        ("unet", {"down_block_types": ["DownBlock2D"]}, "'down_block_types': expected 3 names"),
        ("unet", {"cross_attention_dim": 56}, "context_width"),
        ("unet", {"sample_size": 7}, "height"),
        ("vae", {"shift_factor": 0.1}, "'shift_factor'"),
        ("vae", {"latent_channels": 16}, "16 channels"),
        ("vae", {"down_block_types": ["AttnDownEncoderBlock2D"] * 4}, "'down_block_types'"),
        ("vae", {"use_quant_conv": False}, "'use_quant_conv'"),
    ],
)
def test_an_unsupported_option_is_named(folder: Path, part: str, change: dict[str, Any], said: str) -> None:
    edit_json(folder / part / "config.json", **change)
    message = one_line(folder)
    assert said in message and "expected" in message


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_component_is_named(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    assert part in one_line(folder)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin"])
def test_pickles_alone_are_refused_with_the_line_that_converts(folder: Path, name: str) -> None:
    (folder / "unet" / UNET).rename(folder / "unet" / name)
    message = one_line(folder)
    assert f"{name}: expected safetensors, got a pickle" in message
    assert "save_pretrained" in message and str(folder) in message


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_truncated_file_is_named(folder: Path, size: int) -> None:
    file = folder / "vae" / UNET
    replace(file, file.read_bytes()[:size])
    assert f"{file}: expected a whole safetensors file" in one_line(folder)


def test_mixed_up_files_are_named(folder: Path) -> None:
    shutil.copyfile(folder / "vae" / UNET, folder / "unet" / "copy")
    (folder / "unet" / "copy").replace(folder / "unet" / UNET)
    assert "expected weights of the unet, got those of the autoencoder" in one_line(folder)


def test_weights_of_another_architecture_are_named(folder: Path, published: Publish) -> None:
    replace(folder / "unet" / UNET, (published("sd15") / "unet" / UNET).read_bytes())
    message = one_line(folder)
    assert "tensor" in message and "more)" in message


class TestShards:
    """Folders whose U-Net lies in several files."""

    @pytest.fixture
    def folder(self, published: Publish, tmp_path: Path) -> Path:
        return copy_tree(published("bk-sdm-tiny", shards="1MB"), tmp_path / "shards")

    def test_a_missing_shard_is_named(self, folder: Path) -> None:
        shard = sorted((folder / "unet").glob("*-of-*"))[1]
        shard.unlink()
        assert f"{shard}: expected a shard" in one_line(folder)

    def test_swapped_shards_are_named(self, folder: Path) -> None:
        first, second = sorted((folder / "unet").glob("*-of-*"))[:2]
        first.rename(folder / "held")
        second.rename(first)
        (folder / "held").rename(second)
        assert "index.json: expected tensor" in one_line(folder)

    @pytest.mark.parametrize("name", ["../vae/diffusion_pytorch_model.safetensors", "/etc/passwd", "x.bin"])
    def test_shards_lie_beside_their_index(self, folder: Path, name: str) -> None:
        edit_json(folder / "unet" / f"{UNET}.index.json", weight_map={"conv_in.weight": name})
        assert "expected safetensors files in its own folder" in one_line(folder)

    @pytest.mark.parametrize("value", [None, {}, []])
    def test_an_index_without_map(self, folder: Path, value: object) -> None:
        edit_json(folder / "unet" / f"{UNET}.index.json", weight_map=value)
        assert "expected a weight_map" in one_line(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1, "a": 1}', '{"a": NaN}'])
@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json", "vae/config.json"])
def test_malformed_json_is_named(folder: Path, name: str, text: str) -> None:
    replace(folder / name, text)
    assert str(folder / name) in one_line(folder)
