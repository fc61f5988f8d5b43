"""Configurations that anyone can write: values too long for a message, and sizes that no computer can build."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.errors import MobileDiffusionError
from mobile_diffusion.formats.checkpoint_files import builders
from mobile_diffusion.model_limits import PARAMETERS
from mobile_diffusion.presets import preset
from mobile_diffusion.quoting import LIMIT
from mobile_diffusion.tensor_layout import expected_shapes
from tests.mobile_diffusion.formats.conftest import edit_json

LONG = "0123456789" * 10**4

NAME = "a long name"
"""Stands for an option whose name is `LONG`."""
DIFFUSERS = {
    "unet/config.json": ["block_out_channels", "sample_size", "mid_block_type", "act_fn", "down_block_types", NAME],
    "vae/config.json": ["block_out_channels", "up_block_types", "_class_name", "scaling_factor", "shift_factor", NAME],
    "text_encoder/config.json": ["architectures", "hidden_act", "hidden_size", "layer_norm_eps", NAME],
    "scheduler/scheduler_config.json": ["_class_name", "prediction_type", "beta_schedule", "num_train_timesteps", NAME],
    "model_index.json": ["_class_name", "unet", "tokenizer"],
    "tokenizer/tokenizer_config.json": ["pad_token", "model_max_length", "tokenizer_class"],
}


OPTIONS = [(name, option) for name, options in DIFFUSERS.items() for option in options]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
@pytest.mark.parametrize("kind", ["text", "list", "pair"])
def test_a_long_value_in_a_diffusers_folder(folder: Path, name: str, option: str, kind: str) -> None:
    value = {"text": LONG, "list": [LONG] * 3, "pair": ["diffusers", LONG]}[kind]
    edit_json(folder / name, **{LONG if option == NAME else option: value})
    try:
        open_source(folder)
    except MobileDiffusionError as error:
        assert "\n" not in str(error) and LONG[: LIMIT + 1] not in str(error)


UNET, VAE, TEXT = "unet/config.json", "vae/config.json", "text_encoder/config.json"
SCHEDULER = "scheduler/scheduler_config.json"
LIMITS = {"256 blocks": 10**6, "10,000,000,000 parameters": 10**10, "1 to 10000": 10**12, "up to 8192": 2**20}


@pytest.mark.parametrize(
    ("name", "option", "limit"),
    [
        (UNET, "layers_per_block", "256 blocks"),
        (UNET, "cross_attention_dim", "10,000,000,000 parameters"),
        (UNET, "sample_size", "up to 8192"),
        (VAE, "layers_per_block", "256 blocks"),
        (TEXT, "num_hidden_layers", "256 blocks"),
        (TEXT, "vocab_size", "10,000,000,000 parameters"),
        (TEXT, "intermediate_size", "10,000,000,000 parameters"),
        (SCHEDULER, "num_train_timesteps", "1 to 10000"),
    ],
)
def test_unbounded_sizes_are_refused_at_once(folder: Path, name: str, option: str, limit: str) -> None:
    edit_json(folder / name, **{option: LIMITS[limit]})
    if option == "cross_attention_dim":
        edit_json(folder / TEXT, hidden_size=LIMITS[limit], num_attention_heads=1)
    began = time.perf_counter()
    with pytest.raises(MobileDiffusionError, match=limit) as caught:
        open_source(folder)
    assert time.perf_counter() - began < 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sd15", "sd21-v"])
def test_parameters_are_counted_as_diffusers_and_transformers_count_them(name: str, tmp_path: Path) -> None:
    config = preset(name)
    counted = {
        part: sum(torch.Size(shape).numel() for shape in expected_shapes(build, tmp_path).values())
        for part, build in builders(config).items()
    }
    with torch.device("meta"):
        theirs = {part: network.num_parameters() for part, network in full_size(name).items()}
    assert counted == theirs and max(counted.values()) * 10 < PARAMETERS


def full_size(name: str) -> dict[str, Any]:
    """Networks of the published sizes, from the numbers in their config.json files."""
    second = name.startswith("sd2")
    heads = {"attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True} if second else {}
    levels = {
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    wide = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
    narrow = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    return {
        "unet": UNet2DConditionModel(cross_attention_dim=1024 if second else 768, **heads),
        "autoencoder": AutoencoderKL(**levels),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**(wide if second else narrow))),
    }
