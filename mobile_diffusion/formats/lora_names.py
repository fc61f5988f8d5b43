"""Parses the tensor names of LoRA files: which of our modules a tensor belongs to, and its role in the LoRA.

Training programs use diffusers' names of modules with dots (diffusers, peft) or underscores (kohya), or latent
diffusion's names with underscores (older kohya).  `flatten` brings all of them to one spelling for the look-up.
Kinds of adapters and families of models that are not supported are also recognised here by name.
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
"""Prefix of a name, and the network that it stands for."""

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
"""Pattern in a tensor's name, and the kind of adapter it shows; these kinds are not supported."""

FAMILIES = (
    (r"double_blocks|single_transformer_blocks|single_blocks|^(transformer\.|lora_transformer_)", "Flux or SD3"),
    (r"joint_blocks", "SD3"),
    (r"^lora_te2_|^text_encoder_2\.|transformer_blocks[._][1-9]|add_embedding|label_emb", "SDXL"),
)
"""Pattern in a tensor's name, and the family of models it shows; these families are not supported."""


@dataclass(frozen=True)
class Piece:
    """The parts of a tensor's name."""

    module: str
    """The file's name of the module, without the prefix for the network."""
    part: str | None
    """The network; None when the name has no prefix for it."""
    role: Role
    is_peft: bool
    """Whether peft saved the tensor; peft stores alpha in another file."""


def parse_name(name: str) -> Piece | None:
    """Parse the name of a LoRA's tensor; None when it is not one."""
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
    """The common spelling of a module's name, with underscores for dots, in which names are compared."""
    return module.replace(".processor.", ".").replace(".", "_")


def known_modules(config: UNetConfig, layouts: Mapping[str, Layout]) -> dict[str, tuple[str, str]]:
    """Network and our name of every linear and convolution layer, keyed by each flattened name that files use."""
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
    """The kind of adapter that the names show, if it is one that is not supported; else None."""
    return _first(KINDS, names)


def other_family(names: Iterable[str]) -> str | None:
    """The family of models that the names show, if it is neither Stable Diffusion 1 nor 2; else None."""
    return _first(FAMILIES, names)


def _first(patterns: tuple[tuple[str, str], ...], names: Iterable[str]) -> str | None:
    names = list(names)
    return next((what for pattern, what in patterns if any(re.search(pattern, name) for name in names)), None)
