"""Recognises, by the names of their tensors, adapters and families of models that `--lora` does not support."""

from __future__ import annotations

import re
from collections.abc import Iterable

KINDS = (
    (r"\.oft_|\.oft_R\b", "OFT"),
    (r"\.(on_input|ia3_l)$|\.ia3_", "IA3"),
    (r"\.[ab][12]\.weight$", "GLoRA"),
    (r"vera_lambda_", "VeRA"),
    (r"\.lora_diag", "KaSA"),
    (r"\.(lambda_layer|lambda_base|q_layer\.weight)$", "T-LoRA"),
    (r"lora_embedding_[AB]", "LoRA of an embedding"),
    (r"_custom_diffusion\.", "Custom Diffusion"),
    (r"^(unet|text_encoder):\d+:", "LoRA of cloneofsimo's trainer of 2022"),
    (r"\.set_weight$|\.reshape_weight$", "LoRA that replaces or resizes weights"),
    (r"^bundle_emb\.", "LoRA with a bundled textual inversion"),
)
"""Pattern in a tensor's name, and the kind of adapter it shows; these kinds are not supported."""

FAMILIES = (
    (r"double_blocks|single_transformer_blocks|single_blocks|^(transformer\.|lora_transformer_)", "Flux or SD3"),
    (r"joint_blocks", "SD3"),
)
"""Pattern in a tensor's name, and the family of models it shows; these families are not supported."""
XL = (r"^lora_te2_|^text_encoder_2\.|transformer_blocks[._][1-9]|add_embedding|label_emb", "SDXL")
"""The same of SDXL, for a model of another family."""


def unsupported_kind(names: Iterable[str]) -> str | None:
    """The kind of adapter that the names show, if it is one that is not supported; else None."""
    return _first(KINDS, names)


def other_family(names: Iterable[str], for_xl: bool) -> str | None:
    """The family that the names show, if it is not that of the model (Stable Diffusion 1 or 2, or XL); else None."""
    return _first(FAMILIES if for_xl else (*FAMILIES, XL), names)


def _first(patterns: tuple[tuple[str, str], ...], names: Iterable[str]) -> str | None:
    names = list(names)
    return next((what for pattern, what in patterns if any(re.search(pattern, name) for name in names)), None)
