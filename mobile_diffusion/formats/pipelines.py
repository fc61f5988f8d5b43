"""Lists the diffusers pipelines that are supported, all relatives of Stable Diffusion 1 or 2, and names the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.pipeline_families import FAMILIES
from mobile_diffusion.quoting import shortened

PIPELINES = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "LatentConsistencyModelPipeline",
    "LatentConsistencyModelImg2ImgPipeline",
)
"""Supported pipelines; an inpainting pipeline only if its U-Net has four input channels (unet_json.py checks)."""

CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
"""Supported classes per component; those of the scheduler are in scheduler_classes.py."""


def check_classes(file: Path, index: Mapping[str, Any], replaced: Collection[str] = ()) -> dict[str, str]:
    """Check the classes in a model_index.json; return the class per component of CLASSES and that of "pipeline".

    Components that are `replaced` by an option are not checked.

    Raises CheckpointError when the pipeline or a component's class is not supported.
    """
    pipeline = str(index.get("_class_name"))
    if pipeline not in PIPELINES:
        raise CheckpointError(f"{file}: {describe(pipeline)}; expected a Stable Diffusion 1 or 2 relative")
    kinds = {"pipeline": pipeline}
    for part, accepted in CLASSES.items():
        if part in replaced:
            continue
        entry = index.get(part)
        kind = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
        if kind not in accepted:
            wanted = " or ".join(accepted)
            fix = "use a Stable Diffusion 1 or 2 relative"
            raise CheckpointError(f"{file}: {part}: expected {wanted}, got {shortened(kind)}; {fix}")
        kinds[part] = str(kind)
    return kinds


def describe(pipeline: str) -> str:
    """The part of an error message that says what a pipeline that is not supported is."""
    beginnings = [beginning for beginning in FAMILIES if pipeline.startswith(beginning)]
    if beginnings:
        return f"this is {FAMILIES[max(beginnings, key=len)]}, which mobile-diffusion does not support"
    return f"this is a {shortened(pipeline)}, which mobile-diffusion does not know"
