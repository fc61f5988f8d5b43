"""Names in LoRA files: which of our modules a tensor is for, and what part of its LoRA it is.

Trainers name modules as diffusers does, with dots (diffusers, peft) or underscores (kohya), or as latent diffusion
does with underscores (older kohya).  All of them become one spelling, in which a name is looked up.  Kinds of
adapters and families of models that are not supported are recognised here, by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from mobile_diffusion.config import UNetConfig
from mobile_diffusion.formats.compvis_names import unet_names
from mobile_diffusion.tensor_layout import Layout

Role = Literal["down", "up", "alpha"]

PIECE = re.compile(
    r"(?P<module>.+?)(?:[._]lora(?:_linear_layer)?[._](?P<role>down|up|A|B)(?:\.(?P<adapter>\w+))?\.weight|\.alpha)"
)
ROLES: dict[str | None, Role] = {"down": "down", "A": "down", "up": "up", "B": "up", None: "alpha"}
PEFT_PREFIX = "base_model.model."
PREFIXES: tuple[tuple[str, str], ...] = (
    ("lora_unet_", "unet"),
    ("unet.", "unet"),
    ("lora_te_", "text_encoder"),
    ("lora_te1_", "text_encoder"),
    ("text_encoder.", "text_encoder"),
)
"""Beginnings of names, and the network that they say; diffusers writes the last for kohya's."""

KINDS = (
    (r"dora_scale|lora_magnitude_vector", "DoRA"),
    (r"\.hada_", "LoHa"),
    (r"\.lokr_", "LoKr"),
    (r"\.oft_", "OFT"),
    (r"\.lora_mid\.", "LoCon with a Tucker decomposition"),
    (r"\.diff(_b)?$|\.[wb]_norm$", "LyCORIS with whole differences"),
    (r"\.(on_input|ia3_l)$|\.ia3_", "IA3"),
    (r"\.[ab][12]\.weight$", "GLoRA"),
    (r"lora_embedding_[AB]", "LoRA of an embedding"),
    (r"[._]lora[._].*bias$|\.lora_(up|down|[AB])(\.\w+)?\.bias$", "LoRA with biases"),
    (r"^bundle_emb\.", "LoRA with a bundled textual inversion"),
)
"""Kinds of adapters that are not merged here."""

FAMILIES = (
    (r"double_blocks|single_transformer_blocks|single_blocks|^(transformer\.|lora_transformer_)", "Flux or SD3"),
    (r"joint_blocks", "SD3"),
    (r"^lora_te2_|^text_encoder_2\.|transformer_blocks[._][1-9]|add_embedding|label_emb", "SDXL"),
)
"""Models of other families, by names that only their LoRA files have."""


@dataclass(frozen=True)
class Piece:
    """What a tensor's name says."""

    module: str
    """The module as the file names it, without the prefix that says the network."""
    part: str | None
    """The network, where the name says it."""
    role: Role
    is_peft: bool
    """Whether it was saved by peft itself, which keeps alpha in another file."""


def parse_name(name: str) -> Piece | None:
    """What the name of a LoRA's tensor says; None when it is none of a LoRA."""
    match = PIECE.fullmatch(name)
    if match is None:
        return None
    module = match["module"].removeprefix(PEFT_PREFIX)
    is_peft = module != match["module"]
    for prefix, part in PREFIXES:
        if module.startswith(prefix):
            return Piece(module.removeprefix(prefix), part, ROLES[match["role"]], is_peft)
    return Piece(module, None, ROLES[match["role"]], is_peft)


def flatten(module: str) -> str:
    """The spelling in which modules are compared."""
    return module.replace(".processor.", ".").replace(".", "_")


def known_modules(config: UNetConfig, layouts: Mapping[str, Layout]) -> dict[str, tuple[str, str]]:
    """Network and name of every linear and convolution layer of ours, by each flattened name that it goes by."""
    known: dict[str, tuple[str, str]] = {}
    names = unet_names(config)
    for part in ("unet", "text_encoder"):
        for tensor, stored in layouts[part].items():
            module = tensor.removesuffix(".weight")
            if module == tensor or len(stored.shape) not in (2, 4) or "embeddings." in module:
                continue
            theirs = names.theirs(module) if part == "unet" else module.removeprefix("text_model.")
            for name in (module, module.removesuffix(".0") if module.endswith(".to_out.0") else module, theirs):
                known[flatten(name or module)] = (part, module)
    return known


def unsupported_kind(names: Iterable[str]) -> str | None:
    """The kind of adapter that is not merged here, if names say so."""
    return _first(KINDS, names)


def other_family(names: Iterable[str]) -> str | None:
    """The family of models that the names belong to, if it is neither Stable Diffusion 1 nor 2."""
    return _first(FAMILIES, names)


def _first(patterns: tuple[tuple[str, str], ...], names: Iterable[str]) -> str | None:
    names = list(names)
    return next((what for pattern, what in patterns if any(re.search(pattern, name) for name in names)), None)
