"""Parses the tensor names of LoRA files: which of our modules a tensor belongs to, and its role in the LoRA.

Training programs use diffusers' names of modules with dots (diffusers, peft) or underscores (kohya, LyCORIS), or latent
diffusion's names (older kohya, ComfyUI).  `flatten` brings all of them to one spelling for the look-up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from mobile_diffusion.config import UNetConfig
from mobile_diffusion.formats.compvis_names import unet_names
from mobile_diffusion.formats.lora_delta import Role
from mobile_diffusion.tensor_layout import Layout

ADAPTER = r"(?:\.(?P<adapter>\w+))?"
"""peft's name of the adapter, which it keeps in files of a whole model."""
SUFFIXES = tuple(
    re.compile(rf"(?P<module>.+?){suffix}")
    for suffix in (
        rf"[._]lora(?:_linear_layer)?[._](?P<half>down|up|A|B|mid){ADAPTER}\.(?P<kind>weight|bias)",
        rf"\.(?P<role>hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2)){ADAPTER}",
        rf"\.lora_(?P<role>magnitude)_vector{ADAPTER}(?:\.weight)?",
        r"\.(?P<role>alpha|diff|diff_b|w_norm|b_norm|dora_scale)",
    )
)
"""What follows a module's name; the role is named, or is one of HALVES."""
HALVES: dict[tuple[str, str], Role] = {
    ("down", "weight"): "down",
    ("A", "weight"): "down",
    ("up", "weight"): "up",
    ("B", "weight"): "up",
    ("mid", "weight"): "mid",
    ("up", "bias"): "up_bias",
    ("B", "bias"): "up_bias",
}
SAME: dict[str, Role] = {"w_norm": "diff", "b_norm": "diff_b"}
"""LyCORIS's names of roles for norms."""
PEFT_PREFIX = "base_model.model."
SECOND = "text_encoder_2."
"""Beginning of our names, and of diffusers', of the modules in SDXL's second text encoder."""
PREFIXES: tuple[tuple[str, str | None, str], ...] = (
    ("lora_unet_", "unet", ""),
    ("unet.", "unet", ""),
    ("model.diffusion_model.", "unet", ""),
    ("diffusion_model.", "unet", ""),
    ("lora_te_", "text_encoder", ""),
    ("lora_te1_", "text_encoder", ""),
    ("lora_te2_", "text_encoder", SECOND),
    ("text_encoder.", "text_encoder", ""),
    (SECOND, "text_encoder", SECOND),
    ("lycoris_", None, ""),
)
"""Prefix of a name, the network that it stands for, None if it does not say, and what takes the prefix's place."""
TEXT_2023 = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
"""Names of the text encoder's attention in diffusers 0.15 to 0.17."""


@dataclass(frozen=True)
class Piece:
    """The parts of a tensor's name."""

    module: str
    """The file's name of the module, without the prefix for the network; one of a second text encoder keeps it."""
    part: str | None
    """The network; None when the name has no prefix for it."""
    role: Role
    is_peft: bool
    """Whether peft saved the tensor; peft stores alpha in another file."""


def parse_name(name: str) -> Piece | None:
    """Parse the name of a LoRA's tensor; None when it is not one."""
    match = next((match for suffix in SUFFIXES if (match := suffix.fullmatch(name))), None)
    found = match.groupdict() if match else {}
    role = HALVES.get((found["half"], found["kind"])) if "half" in found else found.get("role")
    if match is None or role is None:
        return None
    role = cast(Role, SAME.get(role, role))
    module = match["module"].removeprefix(PEFT_PREFIX)
    is_peft = module != match["module"]
    for prefix, part, instead in PREFIXES:
        if module.startswith(prefix):
            return Piece(instead + module.removeprefix(prefix), part, role, is_peft)
    return Piece(module, None, role, is_peft)


def flatten(module: str) -> str:
    """The common spelling of a module's name, with underscores for dots, in which names are compared."""
    return module.replace(".processor.", ".").replace(".", "_")


def known_modules(config: UNetConfig, layouts: Mapping[str, Layout]) -> dict[str, tuple[str, str]]:
    """Network and our name of every linear layer, convolution and norm, keyed by each flattened name that files use."""
    known: dict[str, tuple[str, str]] = {}
    names = unet_names(config)
    for part in ("unet", "text_encoder"):
        for tensor in layouts[part]:
            module = tensor.removesuffix(".weight")
            if module == tensor or "embeddings." in module:
                continue
            stated = module.removeprefix("text_encoder.")
            theirs = names.theirs(module) if part == "unet" else stated.replace("text_model.", "", 1)
            for name in (stated, theirs or stated, *_older_names(part, stated)):
                known[flatten(name)] = (part, module)
    return known


def folder_of(part: str, layer: str) -> str:
    """The folder of a layer's network: SDXL's second text encoder has its own, but is one part with the first."""
    return SECOND.removesuffix(".") if layer.startswith(SECOND) else part


def _older_names(part: str, module: str) -> list[str]:
    """Names of a module in the files of attention processors (diffusers of 2023)."""
    before, _, last = module.rpartition(".")
    if part == "text_encoder" and last in TEXT_2023:
        return [f"{before}.{TEXT_2023[last]}"]
    return [before] if module.endswith(".to_out.0") else []
