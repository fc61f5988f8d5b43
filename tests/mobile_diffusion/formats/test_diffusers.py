"""Diffusers folders: what we open computes what diffusers and transformers compute."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from benchmarks.checkpoints.random_weights import ARCHITECTURES, rename_tensors
from mobile_diffusion.autoencoder_config import AutoencoderConfig, TinyAutoencoderConfig
from mobile_diffusion.checkpoint import open_checkpoint, open_source, save_checkpoint
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.json_options import JsonOptions
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.formats.unet_json import read_unet
from mobile_diffusion.tensor_layout import expected_shapes
from mobile_diffusion.unet import UNet
from tests.mobile_diffusion.formats.conftest import Publish, copy_tree, edit_json, replace

OLD_VAE = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
UNET = "diffusion_pytorch_model.safetensors"


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.no_grad()
def test_parts_compute_what_the_originals_compute(name: str, published: Publish) -> None:
    torch.manual_seed(1)
    path = published(name)
    model = open_checkpoint(path, OpenOptions(solver="ddim"))  # whatever its scheduler is
    latents, tokens = torch.randn(model.config.latent_shape), torch.randint(0, 49408, (1, 77))
    steps = torch.tensor([741.0])

    text = transformers.CLIPTextModel.from_pretrained(path / "text_encoder").eval()
    context = text(tokens).last_hidden_state
    close(model.text_encoder(tokens), context)

    unet = diffusers.UNet2DConditionModel.from_pretrained(path / "unet").eval()
    scale, condition = None, None
    if model.config.unet.guidance_width:
        scale = torch.tensor([8.5])
        pipeline = diffusers.LatentConsistencyModelPipeline
        condition = pipeline.get_guidance_scale_embedding(None, scale - 1, unet.config.time_cond_proj_dim)
    theirs = unet(latents, steps, context, timestep_cond=condition).sample
    close(model.unet(latents, steps, context, scale), theirs)

    tiny = isinstance(model.config.autoencoder, TinyAutoencoderConfig)
    kind = diffusers.AutoencoderTiny if tiny else diffusers.AutoencoderKL
    vae = kind.from_pretrained(path / "vae").eval()
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    moments = vae.encode(images)
    encoded = moments.latents if tiny else moments.latent_dist.mean * vae.config.scaling_factor
    close(model.autoencoder.to_latents(images), encoded)
    close(model.autoencoder.to_images(latents), vae.decode(latents / vae.config.scaling_factor).sample)


def test_the_configuration_is_read_from_the_files(published: Publish) -> None:
    config = open_source(published("sd21-v")).config
    assert (config.height, config.width, config.tokenizer) == (64, 64, "clip-bpe")
    assert [stage.heads for stage in config.unet.down] == [5, 10, 20, 20]
    assert [stage.heads for stage in config.unet.up] == [20, 20, 10, 5]
    assert config.unet.linear_projection and config.text.layers == 23
    assert config.schedule.prediction == "v" and config.schedule.guidance_kind == "cfg"
    lcm = open_source(published("lcm-dreamshaper")).config
    assert lcm.unet.guidance_width == 256 and lcm.schedule.guidance_kind == "distilled"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_real_widths_have_the_originals_tensors(name: str) -> None:
    """Without weights: names and shapes of the published configurations, and their number of parameters."""
    with torch.device("meta"):
        theirs = diffusers.UNet2DConditionModel(**ARCHITECTURES[name].unet).state_dict()
    unet, size = read_unet(JsonOptions(Path("config.json"), ARCHITECTURES[name].unet))
    shapes = expected_shapes(lambda: UNet(unet), Path(name))
    assert shapes == {key: tuple(tensor.shape) for key, tensor in theirs.items()}
    assert size == ((96, 96) if name == "sd21-v" else (64, 64))


def test_name_and_licence(folder: Path) -> None:
    assert (open_source(folder).config.name, open_source(folder).config.licence) == ("bk-sdm-tiny", "unknown")
    (folder / "README.md").write_text("---\nlicense: creativeml-openrail-m\ntags: [x]\n---\n# Card\n")
    assert open_source(folder).config.licence == "creativeml-openrail-m"


@pytest.mark.parametrize("options", [{"shards": "1MB"}, {"half": True, "variant": "fp16"}])
def test_shards_and_variants_are_the_same_model(options: dict[str, Any], published: Publish) -> None:
    plain, other = open_checkpoint(published("bk-sdm-tiny", **{"half": "half" in options})), None
    other = open_checkpoint(published("bk-sdm-tiny", **options))
    for name, module in plain.parts.items():
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, other.parts[name].state_dict()[key]), key


def test_sharded_variants(published: Publish) -> None:
    path = published("bk-sdm-tiny", half=True, variant="fp16", shards="1MB")
    assert len(list((path / "unet").glob("*-of-*.safetensors"))) > 1
    open_checkpoint(path)


def test_the_variant_is_chosen(folder: Path, published: Publish) -> None:
    half = published("bk-sdm-tiny", half=True, variant="fp16")
    for part in ("unet", "vae", "text_encoder"):
        for file in (half / part).glob("*.safetensors"):
            shutil.copyfile(file, folder / part / file.name)
    files = {name: open_source(folder, OpenOptions(variant=name)).source.files for name in (None, "fp16")}
    assert not any("fp16" in file.name for file in files[None])
    assert sum("fp16" in file.name for file in files["fp16"]) == 3
    with pytest.raises(CheckpointError, match="expected variant 'bf16' of the weights, got"):
        open_source(folder, OpenOptions(variant="bf16"))


@pytest.mark.parametrize("convolutions", [False, True])
def test_old_names_of_the_autoencoder(convolutions: bool, published: Publish, folder: Path) -> None:
    expected = open_checkpoint(folder).autoencoder.state_dict()
    (folder / "vae" / UNET).unlink()
    state = load_file(published("bk-sdm-tiny") / "vae" / UNET)
    for name in [name for name in state if "attentions" in name]:
        new, tensor = name, state.pop(name)
        for ours, old in OLD_VAE.items():
            new = new.replace(f".{ours}.", f".{old}.")
        matrix = convolutions and name.endswith("weight") and "group_norm" not in name
        state[new] = tensor[:, :, None, None].contiguous() if matrix else tensor
    save_file(state, folder / "vae" / UNET)
    opened = open_checkpoint(folder).autoencoder.state_dict()
    assert all(torch.equal(tensor, opened[name]) for name, tensor in expected.items())


def test_text_encoders_without_prefix_and_with_positions(published: Publish, folder: Path) -> None:
    expected = open_checkpoint(folder).text_encoder.state_dict()
    file = folder / "text_encoder" / "model.safetensors"
    state = load_file(file) | {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    file.unlink()
    save_file(state, file)
    opened = open_checkpoint(folder).text_encoder.state_dict()
    assert all(torch.equal(tensor, opened[name]) for name, tensor in expected.items())
    rename_tensors(folder / "text_encoder", lambda name: name.removeprefix("text_model."))
    open_checkpoint(folder)


def test_an_opened_folder_is_saved_as_our_own(folder: Path, tmp_path: Path) -> None:
    model = open_checkpoint(folder)
    save_checkpoint(model, tmp_path / "ours")
    ours = open_checkpoint(tmp_path / "ours")
    assert ours.config == model.config
    assert ours.tokenizer.encode("a red Apple").ids.tolist() == model.tokenizer.encode("a red Apple").ids.tolist()
    weight = model.unet.conv_in.weight
    assert torch.equal(ours.unet.conv_in.weight, weight.half().float())


def test_the_hash_follows_every_file_and_no_place(folder: Path, tmp_path: Path) -> None:
    first = open_source(folder).source_hash
    assert open_source(copy_tree(folder, tmp_path / "elsewhere")).source_hash == first
    (folder / "safety_checker").mkdir()
    assert open_source(folder).source_hash == first
    file = folder / "scheduler" / "scheduler_config.json"
    replace(file, file.read_text() + " ")
    assert open_source(folder).source_hash != first


def test_a_part_is_loaded_anew_each_time(folder: Path) -> None:
    checkpoint = open_source(folder)
    first, second = checkpoint.load_part("unet"), checkpoint.load_part("unet")
    assert first is not second and not first.training
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_middle_without_attention(published: Publish, tmp_path: Path) -> None:
    path = copy_tree(published("bk-sdm-tiny"), tmp_path / "mid")
    config = diffusers.UNet2DConditionModel.load_config(path / "unet")
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel.from_config({**config, "mid_block_type": "UNetMidBlock2D"}).eval()
    shutil.rmtree(path / "unet")
    unet.save_pretrained(path / "unet")
    model = open_checkpoint(path)
    latents, context = torch.randn(model.config.latent_shape), torch.randn(1, 77, 48)
    with torch.no_grad():
        ours, theirs = model.unet(latents, torch.tensor([3.0]), context), unet(latents, 3.0, context).sample
    close(ours, theirs)


def test_prompts_are_as_long_as_the_tokenizer_says(folder: Path) -> None:
    edit_json(folder / "tokenizer" / "tokenizer_config.json", model_max_length=60)
    checkpoint = open_source(folder)
    assert checkpoint.config.context_shape[1] == len(checkpoint.tokenizer.encode("a red apple").ids) == 60
    edit_json(folder / "tokenizer" / "tokenizer_config.json", model_max_length=78)
    with pytest.raises(CheckpointError, match="tokenizer: expected a length the text encoder can take: .* 3 to 77"):
        open_source(folder)


def test_a_tokenizer_of_another_text_encoder_is_refused(folder: Path) -> None:
    added = {"49408": {"content": "<toy>", "special": False, "normalized": True}}
    edit_json(folder / "tokenizer" / "tokenizer_config.json", added_tokens_decoder=added)
    with pytest.raises(CheckpointError, match="expected at most 49,408 tokens, .* got 49,409"):
        _ = open_source(folder).tokenizer


@pytest.mark.parametrize("asked", [True, False, ...])
def test_what_a_checkpoint_says_of_half_precision_is_read(asked: object, folder: Path) -> None:
    """Without the option the U-Net has diffusers' default; the VAE's, which is true, is of no use to old files."""
    edit_json(folder / "unet" / "config.json", upcast_attention=asked)
    edit_json(folder / "vae" / "config.json", force_upcast=asked)
    config = open_source(folder).config
    assert isinstance(config.autoencoder, AutoencoderConfig)
    assert config.unet.upcast_attention is config.autoencoder.force_upcast is (asked is True)
