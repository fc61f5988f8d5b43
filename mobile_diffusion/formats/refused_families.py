"""Recognises files that are not a whole Stable Diffusion 1 or 2 model by the names of their tensors.

It serves the error message: a user who opens a checkpoint of another family, or only a part of a model, learns
what the file is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mobile_diffusion.errors import CheckpointError

WHOLE = "use a whole model of Stable Diffusion 1 or 2"
FAMILIES: tuple[tuple[str, str, str], ...] = (
    (r"conditioner\.embedders\.|.*label_emb\.0\.0\.|add_embedding\.", "a Stable Diffusion XL model", WHOLE),
    (r".*joint_blocks\.", "a Stable Diffusion 3 model", WHOLE),
    (r".*double_blocks\.", "a Flux model", WHOLE),
    (r"single_transformer_blocks\.|transformer_blocks\.", "a transformer of diffusers (Flux, SD3 or similar)", WHOLE),
    (r"noise_augmentor\.|embedder\.", "a Stable unCLIP model", WHOLE),
    (r".*label_emb\.weight", "an upscaler, whose U-Net also reads a picture", WHOLE),
    (r"control_model\.|input_hint_block\.|zero_convs\.|controlnet_", "a ControlNet", WHOLE),
    (r".*motion_modules\.", "an animation model", WHOLE),
    (r"lora_|.*\.lora[_.]|.*\.(?:hada|lokr)_", "a LoRA", "open its model, and add it with --lora"),
    (r"emb_params|string_to_param", "a textual inversion", "open its model, and add it with --embedding"),
    (
        r"down_blocks\.|up_blocks\.|(?:encoder|decoder)\.(?:mid_block|up_blocks|down_blocks)\.|text_model\.",
        "one part of a diffusers folder",
        "give the folder that holds model_index.json",
    ),
    (r"(?:diffusion_model\.)?(?:input|output)_blocks\.", "a U-Net alone", WHOLE),
    (r"(?:encoder|decoder)\.(?:down|up|mid)\.", "an autoencoder alone", WHOLE),
)
"""Pattern at the beginning of a tensor's name, what the file is, and what the user can do."""


def refuse_other_families(file: Path, names: Iterable[str]) -> None:
    """Raise CheckpointError when a tensor's name shows that the file is of another family or only part of a model."""
    names = list(names)
    for pattern, family, fix in FAMILIES:
        if any(re.match(pattern, name) for name in names):
            raise CheckpointError(f"{file}: expected a model of Stable Diffusion 1 or 2, got {family}; {fix}")
