"""Finds the alpha of a LoRA's modules, which scales them by alpha / rank, or alpha / sqrt(rank) for rsLoRA.

Alpha is stored in a tensor per module (kohya), in the file's metadata (diffusers) or in adapter_config.json (peft).
A module without any of these has the scale one, as in kohya's scripts, AUTOMATIC1111's web interface and ComfyUI.
diffusers gives it the network's most frequent alpha instead, so `warn_of_missing` names such a file.
"""

from __future__ import annotations

import logging
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

logger = logging.getLogger(__name__)

PARTS = ("unet", "text_encoder", "text_encoder_2")
"""Folders of the networks."""
PEFT_CONFIG = "adapter_config.json"
METADATA_KEY = "lora_adapter_metadata"
ALPHAS = {"LORA": "lora_alpha", "LOHA": "alpha", "LOKR": "alpha"}
"""peft's kind of adapter, and the name of its option for alpha."""
REQUIRED: dict[str, tuple[object, ...]] = {
    "bias": ("none",),
    "fan_in_fan_out": (False, None),
    "use_qalora": (False, None),
    "use_bdlora": (None, False),
    "kasa_config": (None,),
    "monteclora_config": (None,),
    "arrow_config": (None,),
    "target_parameters": (None, []),
    "modules_to_save": (None, []),
    "alora_invocation_tokens": (None,),
    "layer_replication": (None, []),
}
"""Options of peft that affect merging, and their supported values; the first is assumed when an option is absent."""
CHANGING = re.compile("pissa|olora|corda|loftq|lora_ga|mica")
"""Initialisations of peft that change the model's own weights, so that the LoRA does not fit the original ones."""


@dataclass(frozen=True)
class AlphaRule:
    """The part of peft's configuration of one network that sets the scale."""

    alpha: float | None = None
    """None for alpha equal to the rank of each module."""
    patterns: Mapping[str, float] = field(default_factory=dict)
    """Regular expression -> alpha of the modules whose name ends with a match."""
    stabilised: bool = False
    """Divide by the square root of the rank (rsLoRA, Kalajdzievski 2023)."""
    rank: float | None = None
    """Rank of a module whose tensors do not show one (LoKr of whole factors); None for the scale one."""
    rank_patterns: Mapping[str, float] = field(default_factory=dict)

    def scale(self, module: str, rank: int | None) -> float:
        """The factor of a module's difference; `module` is peft's name, `rank` that of its tensors."""
        alpha = _by_pattern(self.patterns, module, self.alpha)
        divisor = _by_pattern(self.rank_patterns, module, self.rank) if rank is None else rank
        if alpha is None or divisor is None:
            return 1.0
        return alpha / (math.sqrt(divisor) if self.stabilised else divisor)


def _by_pattern(patterns: Mapping[str, float], module: str, default: float | None) -> float | None:
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def warn_of_missing(lora: LoraFile) -> None:
    """Log one line when only some modules have an alpha tensor, because programs disagree about the others."""
    alphas = [module.alpha for module in lora.modules if module.rank is not None]
    missing = alphas.count(None)
    if 0 < missing < len(alphas):
        logger.warning(
            "%s: %d of %d modules have no alpha; they are scaled by 1, as in kohya's scripts and ComfyUI "
            "(diffusers would give them the most frequent alpha)",
            *(lora.file, missing, len(alphas)),
        )


def read_rules(lora: LoraFile) -> tuple[dict[str, AlphaRule], tuple[Path, ...]]:
    """The rule per network, by the name of its folder, and the files besides the LoRA that they were read from.

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
            raise _unsupported(file, name, accepted[0], values[name])
    kind, start = values.get("peft_type", "LORA"), values.get("init_lora_weights")
    if kind not in ALPHAS:
        raise _unsupported(file, "peft_type", "LORA", kind)
    if isinstance(start, str) and CHANGING.match(start.lower()):
        raise _unsupported(file, "init_lora_weights", True, start)
    option, rank = ALPHAS[kind], values.get("r")
    alpha = values.get(option)
    if not _is_number(alpha):
        raise CheckpointError(f"{file}: option {option}: expected a number, got {quoted(alpha)}; correct it")
    if not (rank is None or (_is_number(rank) and rank > 0)):
        raise CheckpointError(f"{file}: option r: expected a number above 0, got {quoted(rank)}; correct it")
    return AlphaRule(
        alpha,
        _patterns(file, "alpha_pattern", values),
        values.get("use_rslora") is True,
        rank,
        _patterns(file, "rank_pattern", values),
    )


def _unsupported(file: Path, name: str, expected: object, got: object) -> CheckpointError:
    reason = f"expected {quoted(expected)}, got {quoted(got)}, which is not supported"
    return CheckpointError(f"{file}: option {name}: {reason}; use a plain LoRA")


def _patterns(file: Path, option: str, values: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by regular expression."""
    patterns = values.get(option) or {}
    if not isinstance(patterns, dict) or not all(_is_pattern(*entry) for entry in patterns.items()):
        raise CheckpointError(f"{file}: option {option}: expected numbers by name, got {quoted(patterns)}; correct it")
    return patterns


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pattern(pattern: str, alpha: object) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return _is_number(alpha)
