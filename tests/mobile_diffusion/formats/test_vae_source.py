"""A VAE from elsewhere: every kind of folder and file that people have, for every kind of checkpoint.

Diffusers' AutoencoderKL writes and reads them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors.torch import load_file, save_file

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.checkpoint import Checkpoint, open_source, save_checkpoint, untrained_model
from mobile_diffusion.errors import CheckpointError, ConfigError, MobileDiffusionError
from mobile_diffusion.formats.compvis_names import autoencoder_names
from mobile_diffusion.formats.open_options import OpenOptions
from tests.mobile_diffusion.checkpoints import tiny_config
from tests.mobile_diffusion.formats.compvis_files import State, rewritten, write
from tests.mobile_diffusion.formats.conftest import edit_json
from tests.tiny_models import word_pieces

CHANNELS = {3: (32, 64, 64), 4: (32, 32, 64, 64)}


def new_vae(folder: Path, levels: int) -> AutoencoderKL:
    """A VAE of diffusers with random weights, saved in `folder`."""
    torch.manual_seed(8)
    vae = AutoencoderKL(
        block_out_channels=CHANNELS[levels],
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        scaling_factor=0.25,
    )
    vae.save_pretrained(folder)
    return vae


def ldm_state(vae: AutoencoderKL, prefix: str = "") -> State:
    """The weights in latent diffusion's names, its attention as 1x1 convolutions, with the clutter of its training."""
    names = autoencoder_names(AutoencoderConfig(tuple(vae.config.block_out_channels), resnets=1))
    state = {"loss.logvar": torch.zeros(())}
    for name, tensor in vae.state_dict().items():
        attention = "attentions" in name and tensor.ndim == 2
        state[f"{names.theirs(name)}"] = (tensor[:, :, None, None] if attention else tensor).clone()
    return {prefix + name: tensor for name, tensor in state.items()}


def as_folder(root: Path, levels: int) -> Path:
    new_vae(root / "vae", levels)
    return root / "vae"


def as_diffusers_file(root: Path, levels: int) -> Path:
    new_vae(root / "vae", levels)
    return root / "vae" / "diffusion_pytorch_model.safetensors"


def as_ldm_file(root: Path, levels: int) -> Path:
    save_file(ldm_state(new_vae(root / "vae", levels)), root / "ldm.safetensors")
    return root / "ldm.safetensors"


def as_whole_model(root: Path, levels: int) -> Path:
    state = ldm_state(new_vae(root / "vae", levels), "first_stage_model.")
    save_file(state | {"model.diffusion_model.out.2.bias": torch.zeros(4)}, root / "whole.safetensors")
    return root / "whole.safetensors"


KINDS = {"folder": as_folder, "diffusers": as_diffusers_file, "ldm": as_ldm_file, "whole": as_whole_model}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def check(source: Checkpoint, vae: Path, root: Path) -> None:
    """The checkpoint has the weights that diffusers reads, and computes what it computes."""
    if vae.is_dir() or vae.parent.name == "vae":
        theirs = AutoencoderKL.from_pretrained(root / "vae")
    else:
        theirs = AutoencoderKL.from_single_file(str(vae), config=str(root / "vae"))
    ours = source.load_part("autoencoder")
    state = ours.state_dict()
    assert sorted(state) == sorted(theirs.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in theirs.state_dict().items())
    autoencoder = source.config.autoencoder
    assert autoencoder.scaling_factor == (0.25 if vae.is_dir() else 0.18215)
    assert vae.name in source.changes[-1] and source.source_hash
    latents = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        expected = theirs.decode(latents).sample
        torch.testing.assert_close(ours.decoder(ours.post_quant_conv(latents)), expected, rtol=1e-4, atol=1e-4)


@kinds
def test_a_single_file_that_has_none(tmp_path: Path, kind: Callable[[Path, int], Path]) -> None:
    def without(state: State) -> State:
        return {name: tensor for name, tensor in state.items() if not name.startswith("first_stage_model.")}

    file, vae = rewritten(tmp_path, write(tmp_path), without), kind(tmp_path, 3)
    with pytest.raises(CheckpointError, match="no VAE inside .*; add one with --vae"):
        open_source(file)
    check(open_source(file, OpenOptions(vae=vae)), vae, tmp_path)


@kinds
def test_a_single_file_that_has_one(tmp_path: Path, kind: Callable[[Path, int], Path]) -> None:
    file, vae = write(tmp_path).file, kind(tmp_path, 3)
    source = open_source(file, OpenOptions(vae=vae))
    check(source, vae, tmp_path)
    assert source.source_hash != open_source(file).source_hash


@kinds
def test_a_folder_whose_own_is_not_supported_or_missing(
    folder: Path, tmp_path: Path, kind: Callable[[Path, int], Path]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    vae = kind(other, 4)
    edit_json(folder / "model_index.json", vae=["diffusers", "AutoencoderKLTemporalDecoder"])
    shutil.rmtree(folder / "vae")
    with pytest.raises(CheckpointError, match="vae: expected AutoencoderKL"):
        open_source(folder)
    check(open_source(folder, OpenOptions(vae=vae)), vae, other)


def test_what_is_no_vae_is_refused_before_the_checkpoint(tmp_path: Path) -> None:
    tiny = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)
    tiny.save_pretrained(tmp_path / "tiny")
    refused(tmp_path / "tiny", "expected an AutoencoderKL, got a tiny autoencoder; use --decoder")
    refused(tmp_path / "tiny" / "diffusion_pytorch_model.safetensors", "expected a VAE .*--decoder")
    refused(tmp_path / "nothing", "got nothing; check the path")
    (tmp_path / "vae.pt").write_bytes(b"x")
    refused(tmp_path / "vae.pt", "pickle")
    save_file({"encoder.down.0.x": torch.zeros(1)}, tmp_path / "part.safetensors")
    refused(tmp_path / "part.safetensors", "expected a tensor")
    file = as_diffusers_file(tmp_path, 3)
    state = load_file(file)
    del state["decoder.conv_out.bias"]
    save_file(state, tmp_path / "less.safetensors")
    refused(tmp_path / "less.safetensors", "'decoder.conv_out.bias' is missing", write(tmp_path).file)
    with pytest.raises(ConfigError, match="vae and decoder: expected one of them"):
        open_source(tmp_path, OpenOptions(vae=file, decoder=tmp_path / "tiny"))


def refused(vae: Path, message: str, model: Path = Path("no/model")) -> None:
    with pytest.raises(MobileDiffusionError, match=message) as caught:
        open_source(model, OpenOptions(vae=vae))
    assert "\n" not in str(caught.value) and str(vae) in str(caught.value)


def test_latents_of_another_shape_are_refused(folder: Path, tmp_path: Path) -> None:
    vae = as_folder(tmp_path / "other", 3)
    torch.manual_seed(0)
    save_checkpoint(untrained_model(tiny_config(), word_pieces()), tmp_path / "ours")
    with pytest.raises(CheckpointError, match="latent channels, one for .* pixels a side"):
        open_source(tmp_path / "ours", OpenOptions(vae=vae))
    assert json.loads((vae / "config.json").read_text())["scaling_factor"] == 0.25
