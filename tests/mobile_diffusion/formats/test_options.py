"""What a user may change while opening: each change shows in the model and in its hash, and a wrong one is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from benchmarks.checkpoints.random_weights import rename_tensors
from mobile_diffusion.autoencoder_config import TinyAutoencoderConfig
from mobile_diffusion.checkpoint import Model, open_checkpoint, open_source, save_checkpoint
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.schedule import step_table
from tests.mobile_diffusion.formats.conftest import Publish, copy_tree, edit_json

UNET = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def checkpoint(published: Publish) -> Path:
    return published("bk-sdm-tiny")


def refused(path: Path, **options: Any) -> str:
    """The one line that opening with the options must raise."""
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        open_source(path, OpenOptions(**options))
    message = str(caught.value)
    assert "\n" not in message and "expected" in message
    return message


def test_none_given_changes_nothing(checkpoint: Path) -> None:
    plain, given = open_source(checkpoint), open_source(checkpoint, OpenOptions())
    assert plain.config == given.config and plain.source_hash == given.source_hash and plain.changes == ()


def test_the_size_of_pictures(checkpoint: Path) -> None:
    config = open_source(checkpoint, OpenOptions(height=128, width=192)).config
    assert config.latent_shape == (1, 4, 16, 24) and config.image_shape == (1, 3, 128, 192)


@pytest.mark.parametrize("option", ["height", "width"])
@pytest.mark.parametrize("size", [0, -64, 500, 32])
def test_sizes_are_multiples_of_64(published: Publish, option: str, size: int) -> None:
    message = refused(published("sd15"), **{option: size})
    assert option in message and "multiple of 64" in message and str(size) in message


def test_the_schedule(checkpoint: Path) -> None:
    options = OpenOptions(steps=5, solver="dpm-solver++", spacing="trailing", guidance=3.0, guidance_kind="distilled")
    schedule = open_source(checkpoint, options).config.schedule
    assert (schedule.steps, schedule.solver, schedule.spacing) == (5, "dpm-solver++", "trailing")
    assert (schedule.guidance, schedule.guidance_kind) == (3.0, "distilled")
    assert schedule.beta_start == open_source(checkpoint).config.schedule.beta_start


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 1001}, "steps"),
        ({"solver": "magic"}, "solver"),
        ({"solver": "tcd", "eta": 1.5}, "eta is 1.5; expected 0 to 1"),
        ({"solver": "euler", "eta": 0.5}, "eta: expected solver ddim or tcd"),
        ({"spacing": "random"}, "spacing"),
        ({"guidance": 30.5}, "guidance"),
        ({"guidance_kind": "some"}, "guidance_kind"),
        ({"variant": "bf16"}, "variant"),
        ({"skip_layers": 12}, "skip_layers"),
        ({"skip_layers": -1}, "skip_layers"),
        ({"prediction": "v"}, "prediction"),
        ({"tokenizer": Path("tokenizer")}, "tokenizer"),
        ({"decoder": Path("nowhere")}, "nowhere"),
        ({"embeddings": (Path("nowhere.safetensors"),)}, "nowhere"),
        ({"loras": ((Path("nowhere.safetensors"), 1.0),)}, "nowhere"),
    ],
)
def test_a_wrong_option_is_named(checkpoint: Path, options: dict[str, Any], said: str) -> None:
    assert said in refused(checkpoint, **options)


def test_eta_is_the_noise_of_a_solver_that_has_one(checkpoint: Path) -> None:
    tables = [open_source(checkpoint, OpenOptions(solver="tcd", eta=eta)).config.schedule for eta in (None, 0.0, 1.0)]
    assert [step_table(each).stochastic for each in tables] == [True, False, True]


def test_another_solver_leaves_the_details_of_the_first_behind(checkpoint: Path, tmp_path: Path) -> None:
    """In a folder of ours; a diffusers folder is read anew for the solver."""
    model = open_checkpoint(checkpoint, OpenOptions(solver="unipc"))
    details = {"variant": "bh1", "order": 4, "uncorrected": (0,), "karras": True, "steps": 4}
    schedule = dataclasses.replace(model.config.schedule, **details)
    model = dataclasses.replace(model, config=dataclasses.replace(model.config, schedule=schedule))
    save_checkpoint(model, tmp_path / "own")
    assert open_source(tmp_path / "own").config.schedule == schedule
    for solver, karras in (("deis", True), ("euler-ancestral", False), ("tcd", False)):
        found = open_source(tmp_path / "own", OpenOptions(solver=solver)).config.schedule
        assert (found.solver, found.variant, found.order, found.uncorrected) == (solver, "", 2, ())
        assert (found.karras, found.steps) == (karras, 4)


def test_a_network_with_embedded_guidance_is_distilled(published: Publish) -> None:
    assert "guidance_kind" in refused(published("lcm-dreamshaper"), guidance_kind="cfg")


def test_a_scale_that_is_in_the_weights_stays(tiny_model: Model, tmp_path: Path) -> None:
    schedule = dataclasses.replace(tiny_model.config.schedule, guidance=3.0, guidance_kind="distilled")
    config = dataclasses.replace(tiny_model.config, schedule=schedule)
    save_checkpoint(dataclasses.replace(tiny_model, config=config), tmp_path / "student")
    assert "expected 3, which is in this model's weights, got 5" in refused(tmp_path / "student", guidance=5.0)
    assert open_source(tmp_path / "student", OpenOptions(guidance=3.0)).config == config
    guided = open_source(tmp_path / "student", OpenOptions(guidance=5.0, guidance_kind="cfg")).config.schedule
    assert (guided.guidance, guided.guidance_kind) == (5.0, "cfg")


def test_skipped_layers_of_the_text_encoder(checkpoint: Path) -> None:
    tokens = torch.randint(0, 49408, (1, 77), generator=torch.Generator().manual_seed(0))
    theirs = transformers.CLIPTextModel.from_pretrained(checkpoint / "text_encoder").eval()
    ours = open_checkpoint(checkpoint, OpenOptions(skip_layers=2))
    with torch.no_grad():
        states = theirs(tokens, output_hidden_states=True).hidden_states
        norm = getattr(theirs, "text_model", theirs).final_layer_norm
        torch.testing.assert_close(ours.text_encoder(tokens), norm(states[-3]), atol=1e-5, rtol=1e-4)
    assert ours.source_hash != open_source(checkpoint).source_hash
    assert ours.changes == ("text encoder without its last 2 layers",)


def test_a_lora_is_part_of_the_hash_with_its_scale(checkpoint: Path, tmp_path: Path) -> None:
    name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up = torch.ones(2, 20), torch.ones(20, 2)
    save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, tmp_path / "style.safetensors")
    plain = open_checkpoint(checkpoint)
    half = open_checkpoint(checkpoint, OpenOptions(loras=((tmp_path / "style.safetensors", 0.5),)))
    weight = f"{name.removeprefix('unet.')}.weight"
    torch.testing.assert_close(half.unet.state_dict()[weight], plain.unet.state_dict()[weight] + 1.0)
    whole = open_source(checkpoint, OpenOptions(loras=((tmp_path / "style.safetensors", 1.0),)))
    assert len({plain.source_hash, half.source_hash, whole.source_hash}) == 3
    assert half.changes == ("LoRA style.safetensors at scale 0.5",)


class TestDecoder:
    """A tiny autoencoder instead of the checkpoint's."""

    @pytest.fixture
    def taesd(self, published: Publish) -> Path:
        return published("taesd")

    def test_a_folder(self, checkpoint: Path, taesd: Path) -> None:
        model = open_checkpoint(checkpoint, OpenOptions(decoder=taesd))
        assert isinstance(model.config.autoencoder, TinyAutoencoderConfig)
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        theirs = diffusers.AutoencoderTiny.from_pretrained(taesd).eval()
        with torch.no_grad():
            torch.testing.assert_close(model.autoencoder.to_images(latents), theirs.decode(latents).sample)
        assert model.source_hash != open_source(checkpoint).source_hash

    @pytest.mark.parametrize("own_names", [False, True])
    def test_a_file(self, own_names: bool, checkpoint: Path, taesd: Path, tmp_path: Path) -> None:
        expected = open_checkpoint(checkpoint, OpenOptions(decoder=taesd)).autoencoder.state_dict()
        file = tmp_path / "taesd.safetensors"
        save_file(load_file(taesd / UNET), file)
        if own_names:
            rename_tensors(tmp_path, its_own_name)
        opened = open_checkpoint(checkpoint, OpenOptions(decoder=file)).autoencoder.state_dict()
        assert all(torch.equal(tensor, opened[name]) for name, tensor in expected.items())

    def test_another_kl_autoencoder(self, checkpoint: Path, published: Publish) -> None:
        other = published("sd15", seed=1) / "vae"
        model = open_checkpoint(checkpoint, OpenOptions(decoder=other))
        weight = load_file(other / UNET)["decoder.conv_in.weight"]
        assert torch.equal(model.autoencoder.state_dict()["decoder.conv_in.weight"], weight)

    def test_other_latents_are_refused(self, checkpoint: Path, taesd: Path, tmp_path: Path) -> None:
        copy_tree(taesd, tmp_path / "other")
        edit_json(tmp_path / "other" / "config.json", latent_channels=16)
        assert "expected 4 latent channels" in refused(checkpoint, decoder=tmp_path / "other")

    def test_half_an_autoencoder_is_refused(self, checkpoint: Path, taesd: Path, tmp_path: Path) -> None:
        state = {name: tensor for name, tensor in load_file(taesd / UNET).items() if name.startswith("decoder.")}
        save_file(state, tmp_path / "taesd_decoder.safetensors")
        assert "encoder and decoder" in refused(checkpoint, decoder=tmp_path / "taesd_decoder.safetensors")

    def test_other_files_are_refused(self, checkpoint: Path, tmp_path: Path) -> None:
        assert "expected a tiny autoencoder" in refused(checkpoint, decoder=checkpoint / "unet" / UNET)
        (tmp_path / "taesd.pth").write_bytes(b"")
        assert "got a pickle" in refused(checkpoint, decoder=tmp_path / "taesd.pth")
        assert "config.json" in refused(checkpoint, decoder=tmp_path)
        assert "got UNet2DConditionModel" in refused(checkpoint, decoder=checkpoint / "unet")


def its_own_name(name: str) -> str:
    """A tensor's name in TAESD's own files, where the decoder begins with a clamp."""
    part, _, number, rest = name.split(".", 3)
    return f"{part}.{int(number) + (part == 'decoder')}.{rest}"
