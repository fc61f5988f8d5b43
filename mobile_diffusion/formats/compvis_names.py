"""Translates between the tensor names of single files (CompVis, Stability AI) and ours, which are diffusers'.

There is one table per network, built from its configuration.  single_file.py reads checkpoints with it, and
lora_names.py finds the modules of LoRA files that use the older names.  A table lists names of modules; the rest of
a tensor's name stays the same.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ClipTextConfig, UNetConfig, UNetLevel

UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
AUTOENCODER_RESNET = {"conv_shortcut": "nin_shortcut"}
AUTOENCODER_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
DIFFUSERS_ATTENTION = {
    "group_norm": ("group_norm",),
    "to_q": ("to_q", "query"),
    "to_k": ("to_k", "key"),
    "to_v": ("to_v", "value"),
    "to_out.0": ("to_out.0", "proj_attn"),
}
"""Names of the autoencoder's attention in files converted from diffusers: the current ones, and those before 2023."""
OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.in_proj.weight": "attn.in_proj_weight",
    "self_attn.in_proj.bias": "attn.in_proj_bias",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
ATTENTIONS = ("encoder.mid_block.attentions.0.", "decoder.mid_block.attentions.0.")
"""Our names of the autoencoder's attention.  Our projections are linear; a file may have 1x1 convolutions instead."""
FUSED = "in_proj"
"""Name of the fused projection in OpenCLIP's attention: the rows of q_proj, then of k_proj, then of v_proj.
`NameTable.ours` keeps this name; single_file.py splits the rows."""


@dataclass(frozen=True)
class NameTable:
    """Our name and the file's name for every module of a network."""

    pairs: dict[str, str]
    """Our module or tensor -> the file's."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Alternative names in files -> ours."""

    def theirs(self, name: str) -> str | None:
        """The file's name of our module or tensor; None when it is not part of this network."""
        return _translate(name, self.pairs)

    def ours(self, name: str) -> str | None:
        """Our name of the file's module or tensor; None when it is not part of this network."""
        return _translate(name, self._backwards)

    @functools.cached_property
    def _backwards(self) -> dict[str, str]:
        return {theirs: ours for ours, theirs in self.pairs.items()} | self.aliases


def _translate(name: str, table: dict[str, str]) -> str | None:
    """Replace the longest prefix of `name` that is in `table`; a prefix ends at a dot.  None when there is none."""
    prefix = name
    while prefix not in table:
        if "." not in prefix:
            return None
        prefix = prefix.rpartition(".")[0]
    return table[prefix] + name[len(prefix) :]


def unet_names(config: UNetConfig) -> NameTable:
    """Names of the U-Net's modules; in a file they follow `model.diffusion_model.`."""
    pairs = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
    }
    place = itertools.count(1)
    for index, level in enumerate(config.down):
        blocks = [f"input_blocks.{next(place)}" for _ in range(level.resnets)]
        pairs |= _level_pairs(level, f"down_blocks.{index}", blocks)
        if index < len(config.down) - 1:
            pairs[f"down_blocks.{index}.downsamplers.0.conv"] = f"input_blocks.{next(place)}.0.op"
    pairs |= _middle_pairs(config.mid) if config.mid else {}
    place = itertools.count()
    for index, level in enumerate(config.up):
        blocks = [f"output_blocks.{next(place)}" for _ in range(level.resnets)]
        pairs |= _level_pairs(level, f"up_blocks.{index}", blocks)
        if index < len(config.up) - 1:
            behind = 1 + level.transformers_after(level.resnets - 1)
            pairs[f"up_blocks.{index}.upsamplers.0.conv"] = f"{blocks[-1]}.{behind}.conv"
    return NameTable(pairs)


def _level_pairs(level: UNetLevel, ours: str, blocks: list[str]) -> dict[str, str]:
    """The pairs of one level: a block of the file has one ResNet block and the transformers after it."""
    pairs: dict[str, str] = {}
    transformer = itertools.count()
    for resnet, block in enumerate(blocks):
        pairs |= _pairs_within(f"{ours}.resnets.{resnet}", f"{block}.0", UNET_RESNET)
        for behind in range(level.transformers_after(resnet)):
            pairs[f"{ours}.attentions.{next(transformer)}"] = f"{block}.{1 + behind}"
    return pairs


def _middle_pairs(level: UNetLevel) -> dict[str, str]:
    """The pairs of the middle: the file numbers alternating ResNet blocks and transformers consecutively."""
    order = ["resnets.0"]
    for index in range(max(level.transformers, level.resnets - 1)):
        order += [f"attentions.{index}"] if index < level.transformers else []
        order += [f"resnets.{index + 1}"] if index + 1 < level.resnets else []
    pairs: dict[str, str] = {}
    for number, module in enumerate(order):
        ours, theirs = f"mid_block.{module}", f"middle_block.{number}"
        is_resnet = module.startswith("resnets")
        pairs |= _pairs_within(ours, theirs, UNET_RESNET) if is_resnet else {ours: theirs}
    return pairs


def _pairs_within(ours: str, theirs: str, layers: dict[str, str]) -> dict[str, str]:
    return {f"{ours}.{our_layer}": f"{theirs}.{their_layer}" for our_layer, their_layer in layers.items()}


def autoencoder_names(config: AutoencoderConfig) -> NameTable:
    """Names of the KL autoencoder's modules; in a file they follow `first_stage_model.`."""
    pairs = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    aliases: dict[str, str] = {}
    last = len(config.channels) - 1
    for half in ("encoder", "decoder"):
        pairs |= {f"{half}.{same}": f"{half}.{same}" for same in ("conv_in", "conv_out")}
        pairs[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        for index in range(2):
            pairs |= _autoencoder_resnet(f"{half}.mid_block.resnets.{index}", f"{half}.mid.block_{index + 1}")
        ours, theirs = f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1"
        pairs |= _pairs_within(ours, theirs, AUTOENCODER_ATTENTION)
        for layer, names in DIFFUSERS_ATTENTION.items():
            aliases |= {f"{theirs}.{name}": f"{ours}.{layer}" for name in names}
    for level in range(last + 1):
        down = (f"encoder.down_blocks.{level}", f"encoder.down.{level}")
        up = (f"decoder.up_blocks.{last - level}", f"decoder.up.{level}")
        for (ours, theirs), resnets in ((down, config.resnets), (up, config.resnets + 1)):
            for index in range(resnets):
                pairs |= _autoencoder_resnet(f"{ours}.resnets.{index}", f"{theirs}.block.{index}")
        if level < last:
            pairs[f"{down[0]}.downsamplers.0.conv"] = f"{down[1]}.downsample.conv"
        if level > 0:
            pairs[f"{up[0]}.upsamplers.0.conv"] = f"{up[1]}.upsample.conv"
    return NameTable(pairs, aliases)


def _autoencoder_resnet(ours: str, theirs: str) -> dict[str, str]:
    return {ours: theirs} | _pairs_within(ours, theirs, AUTOENCODER_RESNET)


def clip_names() -> NameTable:
    """Names of CLIP's modules as transformers writes them; in a file they follow `cond_stage_model.transformer.`."""
    pairs = {"text_model": "text_model"}
    older = ("embeddings", "encoder", "final_layer_norm")
    return NameTable(pairs, {module: f"text_model.{module}" for module in older})


def open_clip_names(config: ClipTextConfig) -> NameTable:
    """Names of the modules of OpenCLIP's text encoder; in a file they follow `cond_stage_model.model.`.

    The attention projections are fused (`FUSED`).
    """
    pairs = {
        "text_model.embeddings.token_embedding": "token_embedding",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm": "ln_final",
        "text_projection.weight": "text_projection",
    }
    for layer in range(config.layers):
        ours, theirs = f"text_model.encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        pairs |= _pairs_within(ours, theirs, OPEN_CLIP_LAYER)
    return NameTable(pairs)
