"""Finds the alpha of a LoRA's modules, which scales them by alpha / rank, or alpha / sqrt(rank) for rsLoRA.

Alpha is stored in a tensor per module (kohya), in the file's metadata (diffusers) or in adapter_config.json (peft).
Without any of these, alpha equals the rank and the scale is one, as in kohya and diffusers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.lora_file import LoraFile
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_strictly, read_object

PARTS = ("unet", "text_encoder")
PEFT_CONFIG = "adapter_config.json"
METADATA_KEY = "lora_adapter_metadata"
REQUIRED: dict[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "lora_bias": (False, None),
    "use_qalora": (False, None),
    "use_bdlora": (None, False),
    "alora_invocation_tokens": (None,),
    "layer_replication": (None, []),
}
"""Options of peft that affect merging, and their supported values; the first is assumed when an option is absent."""


@dataclass(frozen=True)
class AlphaRule:
    """The part of peft's configuration of one network that sets the scale."""

    alpha: float | None = None
    """None for alpha equal to the rank of each module."""
    patterns: Mapping[str, float] = field(default_factory=dict)
    """Regular expression -> alpha of the modules whose name ends with a match."""
    stabilised: bool = False
    """Divide by the square root of the rank (rsLoRA, Kalajdzievski 2023)."""

    def scale(self, module: str, rank: int) -> float:
        """The factor of a module's product up @ down; `module` is peft's name."""
        matches = (alpha for pattern, alpha in self.patterns.items() if re.match(rf"(.*\.)?({pattern})$", module))
        alpha = next(matches, self.alpha)
        return 1.0 if alpha is None else alpha / (math.sqrt(rank) if self.stabilised else rank)


def read_rules(lora: LoraFile) -> tuple[dict[str, AlphaRule], tuple[Path, ...]]:
    """The rule per network, "unet" and "text_encoder", and the files besides the LoRA that they were read from.

    Raises CheckpointError when peft saved the LoRA and its configuration is missing, or when an option is not
    supported.
    """
    if lora.is_peft:
        config = lora.file.with_name(PEFT_CONFIG)
        if not config.is_file():
            raise CheckpointError(f"{config}: expected the alpha of the LoRA in it, got no such file; restore it")
        return dict.fromkeys(PARTS, _rule(config, read_object(config))), (config,)
    if METADATA_KEY not in lora.metadata:
        return dict.fromkeys(PARTS, AlphaRule()), ()
    parts = _split(lora.file, lora.metadata[METADATA_KEY])
    return {part: _rule(lora.file, parts[part]) for part in PARTS}, ()


def _split(file: Path, text: str) -> dict[str, dict[str, Any]]:
    """Split diffusers' metadata by network; its keys are "unet.r", "text_encoder.lora_alpha" and so on."""
    try:
        values = parse_strictly(text.encode())
    except ValueError as error:
        raise CheckpointError(f"{file}: metadata {METADATA_KEY}: expected JSON, got: {error}; save it again") from error
    parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for name, value in values.items() if isinstance(values, dict) else ():
        part, _, option = name.partition(".")
        parts.setdefault(part, {})[option] = value
    return parts


def _rule(file: Path, values: Mapping[str, Any]) -> AlphaRule:
    """Build one network's rule; raise CheckpointError naming an option that is not supported or is malformed."""
    if not values:
        return AlphaRule()
    for name, accepted in REQUIRED.items():
        if values.get(name, accepted[0]) not in accepted:
            reason = f"expected {quoted(accepted[0])}, got {quoted(values[name])}, which is not supported"
            raise CheckpointError(f"{file}: option {name}: {reason}; use a plain LoRA")
    alpha, patterns = values.get("lora_alpha"), values.get("alpha_pattern") or {}
    if not _is_number(alpha):
        raise CheckpointError(f"{file}: option lora_alpha: expected a number, got {quoted(alpha)}; correct it")
    if not isinstance(patterns, dict) or not all(_is_pattern(*entry) for entry in patterns.items()):
        raise CheckpointError(
            f"{file}: option alpha_pattern: expected numbers by name, got {quoted(patterns)}; correct it"
        )
    return AlphaRule(alpha, patterns, values.get("use_rslora") is True)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pattern(pattern: str, alpha: object) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return _is_number(alpha)
