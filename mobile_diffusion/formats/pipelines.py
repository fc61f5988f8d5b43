"""Which diffusers pipelines are Stable Diffusion 1 or 2 relatives, and what the others are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import CheckpointError

PIPELINES = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "LatentConsistencyModelPipeline",
    "LatentConsistencyModelImg2ImgPipeline",
)
"""An inpainting pipeline is one of ours if its U-Net reads four channels; unet_json.py looks."""

FAMILIES = {
    "StableDiffusionXL": "SDXL",
    "StableDiffusion3": "Stable Diffusion 3",
    "StableDiffusionInstructPix2Pix": "instruct-pix2pix",
    "StableDiffusionUpscale": "a Stable Diffusion upscaler",
    "StableDiffusionLatentUpscale": "a Stable Diffusion upscaler",
    "StableDiffusionDepth2Img": "depth-guided Stable Diffusion",
    "StableDiffusionControlNet": "Stable Diffusion with a ControlNet",
    "StableDiffusionGLIGEN": "GLIGEN",
    "StableVideoDiffusion": "Stable Video Diffusion",
    "StableCascade": "Stable Cascade",
    "AnimateDiff": "AnimateDiff",
    "AltDiffusion": "AltDiffusion",
    "AuraFlow": "AuraFlow",
    "Flux": "Flux",
    "HunyuanDiT": "HunyuanDiT",
    "IF": "DeepFloyd IF",
    "Kandinsky": "Kandinsky",
    "Kolors": "Kolors",
    "Lumina": "Lumina",
    "PixArt": "PixArt",
    "QwenImage": "Qwen-Image",
    "Sana": "Sana",
    "Wan": "Wan",
    "Wuerstchen": "Wuerstchen",
    "Flax": "a checkpoint for JAX, whose weights are no safetensors",
    "Onnx": "an ONNX checkpoint",
}
"""Beginnings of the names of other pipelines, and what their models are called."""

CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
"""The classes of each component that we compute; the scheduler's are scheduler.py's business."""


def check_classes(file: Path, index: Mapping[str, Any]) -> dict[str, str]:
    """The class of every component of CLASSES and that of the "pipeline", as model_index.json has them.

    Raises CheckpointError when the pipeline is of another family, by its name, or a component of another class.
    """
    pipeline = str(index.get("_class_name"))
    if pipeline not in PIPELINES:
        raise CheckpointError(f"{file}: {describe(pipeline)}; expected a Stable Diffusion 1 or 2 relative")
    kinds = {"pipeline": pipeline}
    for part, accepted in CLASSES.items():
        entry = index.get(part)
        kind = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
        if kind not in accepted:
            wanted = " or ".join(accepted)
            fix = "use a Stable Diffusion 1 or 2 relative"
            raise CheckpointError(f"{file}: {part}: expected {wanted}, got {kind}; {fix}")
        kinds[part] = str(kind)
    return kinds


def describe(pipeline: str) -> str:
    """What a pipeline that we do not support is, in words."""
    for beginning, family in FAMILIES.items():
        if pipeline.startswith(beginning):
            return f"this is {family}, which mobile-diffusion does not support"
    return f"this is a {pipeline}, which mobile-diffusion does not know"
