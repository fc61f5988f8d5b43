"""Single files of latent diffusion for tests, written from diffusers' and transformers' own random models."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as ldm
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ClipTextConfig, UNetConfig, UNetLevel
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles, builders, check_source
from mobile_diffusion.formats.compvis_names import autoencoder_names, clip_names, open_clip_names, unet_names
from mobile_diffusion.formats.single_file import read_single_file
from mobile_diffusion.presets import preset
from mobile_diffusion.schedule import betas
from mobile_diffusion.tensor_layout import load_layout

State = dict[str, Tensor]

FOUR = {"block_out_channels": (32, 64, 64, 64), "layers_per_block": 2}
THREE = {
    "block_out_channels": (32, 64, 64),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3,
    "up_block_types": ("CrossAttnUpBlock2D",) * 3,
    "mid_block_type": None,
}
V2 = {
    "block_out_channels": (64, 128, 128, 128),
    "attention_head_dim": (1, 2, 2, 2),
    "use_linear_projection": True,
    "layers_per_block": 2,
}
UNETS: dict[str, dict[str, Any]] = {
    "sd1": FOUR,
    "sd2": V2,
    "bk-sdm-base": FOUR | {"layers_per_block": 1},
    "bk-sdm-small": FOUR | {"layers_per_block": 1, "mid_block_type": None},
    "bk-sdm-tiny": THREE,
}


@dataclass(frozen=True)
class Written:
    """A single file, and the models that went into it."""

    file: Path
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text: CLIPTextModel

    @property
    def parts(self) -> dict[str, torch.nn.Module]:
        return {"unet": self.unet, "autoencoder": self.vae, "text_encoder": self.text}


def write(folder: Path, kind: str = "sd1") -> Written:
    """A narrow model in a single file of the layout that its family has."""
    torch.manual_seed(3)
    open_clip = kind == "sd2"
    unet = UNet2DConditionModel(cross_attention_dim=64, sample_size=8, **UNETS[kind])
    vae = AutoencoderKL(
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=100,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=23 if open_clip else 2,
            num_attention_heads=1,
            hidden_act="gelu" if open_clip else "quick_gelu",
        )
    )
    written = Written(folder / f"{kind}.safetensors", unet.eval(), vae.eval(), text.eval())
    for model in written.parts.values():
        for tensor in model.parameters():
            torch.nn.init.normal_(tensor, std=0.2)
    save_file(compvis_state(written, open_clip), written.file)
    return written


def compvis_state(written: Written, open_clip: bool) -> State:
    """The three networks in one state dict, in latent diffusion's names and with its clutter."""
    unet, vae, text = (model.state_dict() for model in written.parts.values())
    stages = unet_config(written.unet)
    vae_names = autoencoder_names(AutoencoderConfig((32, 64, 64)))
    state = {f"model.diffusion_model.{unet_names(stages).theirs(name)}": tensor for name, tensor in unet.items()}
    for name, tensor in vae.items():
        attention = "attentions" in name and tensor.ndim == 2
        state[f"first_stage_model.{vae_names.theirs(name)}"] = tensor[:, :, None, None] if attention else tensor
    state |= open_clip_state(text) if open_clip else clip_state(text)
    clutter = {
        "betas": torch.from_numpy(betas(preset("sd15").schedule)).float(),
        "model_ema.decay": torch.tensor(0.99),
        "first_stage_model.loss.logvar": torch.zeros(()),
    }
    return {name: tensor.clone().contiguous() for name, tensor in (state | clutter).items()}


def unet_config(unet: UNet2DConditionModel) -> UNetConfig:
    """The stages of diffusers' U-Net, counted in its modules."""
    sides = [
        tuple(UNetLevel(b.resnets[0].out_channels, len(b.resnets), len(getattr(b, "attentions", []))) for b in blocks)
        for blocks in (unet.down_blocks, unet.up_blocks)
    ]
    mid = UNetLevel(sides[0][-1].channels, 2, 1) if unet.mid_block is not None else None
    return UNetConfig(down=sides[0], mid=mid, up=sides[1], context_width=64)


def clip_state(text: State) -> State:
    ids = {"cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None]}
    return {f"cond_stage_model.transformer.text_model.{name}": tensor for name, tensor in text.items()} | ids


def open_clip_state(text: State) -> State:
    """OpenCLIP's tower, attention fused, with a layer 24 that must not be used."""
    prefix = "cond_stage_model.model."
    names = open_clip_names(ClipTextConfig(layers=24))
    text = {f"text_model.{name}": tensor for name, tensor in text.items()}
    last = {name.replace("layers.22", "layers.23"): tensor + 1 for name, tensor in text.items() if "layers.22" in name}
    state: State = {f"{prefix}text_projection": torch.zeros(64, 64), f"{prefix}logit_scale": torch.zeros(())}
    for name, tensor in (text | last).items():
        if "q_proj" in name:
            tensor = torch.cat([(text | last)[name.replace("q_proj", row)] for row in ("q_proj", "k_proj", "v_proj")])
            name = name.replace("q_proj", "in_proj")
        if "k_proj" not in name and "v_proj" not in name:
            state[f"{prefix}{names.theirs(name)}"] = tensor
    return state


def read_back(file: Path, written: Written) -> dict[str, State]:
    """What diffusers' own converters read from the file, under our names."""
    state = load_file(file)
    text = written.text
    prefixes = ("cond_stage_model.model.", "conditioner.embedders.0.model.")
    found = [prefix for prefix in prefixes if any(name.startswith(prefix) for name in state)]
    if found:
        encoder = ldm.convert_open_clip_checkpoint(text, state, found[0])
        encoder.pop("text_projection.weight", None)
    else:
        encoder = ldm.convert_ldm_clip_checkpoint(state)
        encoder.pop("text_model.embeddings.position_ids", None)
    autoencoder = ldm.convert_ldm_vae_checkpoint(state, written.vae.config)
    return {
        "unet": ldm.convert_ldm_unet_checkpoint(state, dict(written.unet.config)),
        "autoencoder": {name: tensor for name, tensor in autoencoder.items() if not name.startswith("loss")},
        "text_encoder": encoder,
    }


def read(file: Path, **options: Any) -> CheckpointFiles:
    source = read_single_file(file, **options)
    check_source(source)
    return source


def load(source: CheckpointFiles, part: str) -> torch.nn.Module:
    return load_layout(builders(source.config)[part], source.layouts[part])


def rewritten(folder: Path, written: Written, change: Any) -> Path:
    """The file with its state dict changed."""
    state = load_file(written.file)
    file = folder / "changed.safetensors"
    save_file(change(state), file)
    return file


def full_size_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a preset's tensors in a single file."""
    config = preset(name)
    open_clip = config.text.layers == 23
    assert isinstance(config.text, ClipTextConfig) and isinstance(config.autoencoder, AutoencoderConfig)
    prefixes = {
        "model.diffusion_model.": unet_names(config.unet),
        "first_stage_model.": autoencoder_names(config.autoencoder),
        f"cond_stage_model.{'model' if open_clip else 'transformer'}.": (
            open_clip_names(config.text) if open_clip else clip_names()
        ),
    }
    with torch.device("meta"):
        parts = [build().state_dict() for build in builders(config).values()]
    shapes: dict[str, tuple[int, ...]] = {}
    for (prefix, table), part in zip(prefixes.items(), parts, strict=True):
        for ours, value in part.items():
            shape = tuple(value.shape)
            if open_clip and "q_proj" in ours:
                ours, shape = ours.replace("q_proj", "in_proj"), (3 * shape[0], *shape[1:])
            if not (open_clip and re.search("[kv]_proj", ours)):
                shapes[f"{prefix}{table.theirs(ours)}"] = shape
    return shapes


def write_header(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of float16 zeros that takes no room on disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    with file.open("r+b") as stream:
        stream.truncate(8 + len(text) + end)
