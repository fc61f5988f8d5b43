"""Recognises files that are not a whole model of Stable Diffusion 1, 2 or XL by the names of their tensors.

It serves the error message: a user who opens a checkpoint of another family, or only a part of a model, learns
what the file is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mobile_diffusion.errors import CheckpointError

WHOLE = "use a whole model of Stable Diffusion 1, 2 or XL"
ROOT = r"(?:model\.diffusion_model\.)?"
"""Beginning of the names of a transformer, which files have or lack."""
FAMILIES: tuple[tuple[str, str, str], ...] = (
    (r"edm_mean$", "a Playground 2.5 model", WHOLE),
    (r"edm_vpred\.", "a CosXL model", WHOLE),
    (r".*joint_blocks\.|text_encoders\.clip_", "a Stable Diffusion 3 model", WHOLE),
    (r".*channelwise\.|clip_txt_mapper\.", "a Stable Cascade model", WHOLE),
    (ROOT + r"(?:double_layers\.|cond_seq_linear\.|t_embedder\.mlp\.)", "an AuraFlow model", WHOLE),
    (ROOT + r"distilled_guidance_layer\.", "a Chroma model", WHOLE),
    (ROOT + r"txt_in\.individual_token_refiner\.", "a HunyuanVideo model", WHOLE),
    (ROOT + r"double_stream_blocks\.", "a HiDream model", WHOLE),
    (ROOT + r"(?:txt_in\.text_norm|txt_norm)\.", "a Qwen-Image model", WHOLE),
    (ROOT + r"txtfusion\.", "a Krea model", WHOLE),
    (ROOT + r"layers\.\d+\.adaLN_modulation\.0\.", "a Z-Image model", WHOLE),
    (r"control_all_x_embedder\.|control_layers\.", "a ControlNet of Z-Image", WHOLE),
    (ROOT + r"cap_embedder\.", "a Lumina model", WHOLE),
    (ROOT + r"(?:patchify_proj\.|transformer_blocks\.\d+\.scale_shift_table|av_ca_)", "an LTX-Video model", WHOLE),
    (r"(?:audio_)?vae\.(?:decoder\.|per_channel_statistics\.)", "an LTX-Video model", WHOLE),
    (r"(?:decoder|encoder)\.(?:stages|project_in)\.", "an autoencoder of Sana (DC-AE)", WHOLE),
    (ROOT + r"blocks\.\d+\.cross_attn\.(?:q|kv)_linear\.", "a Sana model", WHOLE),
    (ROOT + r"blocks\.\d+\.attn\.qkv_x\.", "a Mochi model", WHOLE),
    (r"token_refiner\.blocks\.", "a MiniMax model", WHOLE),
    (ROOT + r"(?:head\.modulation|vace_blocks\.|motion_encoder\.)", "a Wan model", WHOLE),
    (r"decoder\.middle\.\d+\.residual\.", "an autoencoder of Wan", WHOLE),
    (r"net\.(?:x_embedder|blocks|extra_pos_embedder|pos_embedder)\.", "a Cosmos model", WHOLE),
    (ROOT + r"(?:single_stream_modulation|early_stream_modulations|ref_time_in)\.", "a Flux model", WHOLE),
    (r".*double_blocks\.", "a Flux model", WHOLE),
    (r"single_transformer_blocks\.|transformer_blocks\.", "a transformer of diffusers (Flux, SD3 or similar)", WHOLE),
    (r"noise_augmentor\.|embedder\.", "a Stable unCLIP model", WHOLE),
    (r".*label_emb\.weight", "an upscaler, whose U-Net also reads a picture", WHOLE),
    (r"control_model\.|input_hint_block\.|zero_convs\.|controlnet_", "a ControlNet", WHOLE),
    (r".*motion_modules\.", "an animation model", WHOLE),
    (r"lora_|.*\.lora[_.]|.*\.(?:hada|lokr)_", "a LoRA", "open its model, and add it with --lora"),
    (r"emb_params|string_to_param|clip_[lg]$", "a textual inversion", "open its model, and add it with --embedding"),
    (
        r"down_blocks\.|up_blocks\.|add_embedding\.|(?:encoder|decoder)\.(?:mid_block|up_blocks|down_blocks)\.|text_model\.",
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
            raise CheckpointError(f"{file}: expected a model of Stable Diffusion 1, 2 or XL, got {family}; {fix}")
