"""Lists the diffusers pipelines that are supported, relatives of Stable Diffusion 1, 2 or XL, and names the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.pipeline_families import FAMILIES
from mobile_diffusion.formats.text_folders import FIRST, SECOND, TextFolders, read_one_encoder, read_two_encoders
from mobile_diffusion.formats.unet_json import REFINER
from mobile_diffusion.quoting import shortened


@dataclass(frozen=True)
class PipelineClass:
    """A supported pipeline of diffusers, and what it corrects in a checkpoint when it is built."""

    scheduler: Mapping[str, object] = field(default_factory=dict)
    """Options that replace those of the scheduler's file."""
    corrects_size: bool = False
    """Whether a U-Net of 2022 with a sample_size below 64 gets one of 64."""
    read_text: Callable[[Path, str | None, bool], TextFolders] = read_one_encoder
    """Reads the text encoders and tokenizers."""
    parts: tuple[str, ...] = ("unet", "vae", *FIRST)
    """Components whose classes are checked."""
    guidance: float = 7.5
    """Its default guidance scale."""


_PLAIN = PipelineClass({"steps_offset": 1, "clip_sample": False}, corrects_size=True)
_INPAINT = PipelineClass({"steps_offset": 1, "skip_prk_steps": True}, corrects_size=True)
_UNCORRECTED = PipelineClass()
_CONSISTENCY = PipelineClass(guidance=8.5)
_XL = PipelineClass(read_text=read_two_encoders, parts=("unet", "vae", *FIRST, *SECOND), guidance=5.0)
_XL_INPAINT = replace(_XL, guidance=7.5)

PIPELINES = {
    "StableDiffusionPipeline": _PLAIN,
    "StableDiffusionImg2ImgPipeline": _PLAIN,
    "StableDiffusionInpaintPipeline": _INPAINT,
    "StableDiffusionInstructPix2PixPipeline": _UNCORRECTED,
    "StableDiffusionPAGPipeline": _PLAIN,
    "StableDiffusionPAGImg2ImgPipeline": _PLAIN,
    "StableDiffusionPAGInpaintPipeline": _PLAIN,
    "StableDiffusionPipelineSafe": _PLAIN,
    "StableDiffusionAttendAndExcitePipeline": _UNCORRECTED,
    "StableDiffusionPanoramaPipeline": _UNCORRECTED,
    "StableDiffusionSAGPipeline": _UNCORRECTED,
    "SemanticStableDiffusionPipeline": _UNCORRECTED,
    "LatentConsistencyModelPipeline": _CONSISTENCY,
    "LatentConsistencyModelImg2ImgPipeline": _CONSISTENCY,
    "StableDiffusionXLPipeline": _XL,
    "StableDiffusionXLImg2ImgPipeline": _XL,
    "StableDiffusionXLInpaintPipeline": _XL_INPAINT,
    "StableDiffusionXLPAGPipeline": _XL,
    "StableDiffusionXLPAGImg2ImgPipeline": _XL,
    "StableDiffusionXLPAGInpaintPipeline": _XL_INPAINT,
}
"""Supported pipelines, whose networks are those of Stable Diffusion 1, 2 or XL.  Whether one inpaints or edits is told
by its U-Net's input channels (`ModelConfig.task`).  What a pipeline adds while drawing (perturbed or self-attention
guidance, panoramas, safety guidance) is not part of the checkpoint and is left out."""

CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
"""Supported classes per component; those of the scheduler are in scheduler_classes.py."""
FIXES = {
    "CLIPTextModelWithProjection": "diffusers cannot draw with it either; write CLIPTextModel there if the model is "
    "Stable Diffusion 1 or 2"
}
"""Class of a component that is not supported, and how to fix it."""


def check_classes(file: Path, index: Mapping[str, Any], replaced: Collection[str] = ()) -> dict[str, str]:
    """Check the classes in a model_index.json; return the class per component, and that of "pipeline".

    Components that are `replaced` by an option are not checked, and the class of "scheduler" is only read.  Raises
    CheckpointError when another component's class or the pipeline is not supported, or when a class is missing.
    """
    pipeline = str(index.get("_class_name"))
    if pipeline not in PIPELINES:
        raise CheckpointError(f"{file}: {describe(pipeline)}; expected a relative of Stable Diffusion 1, 2 or XL")
    kinds = {"pipeline": pipeline}
    scheduler = _class_of(index, "scheduler")
    if not isinstance(scheduler, str):
        raise CheckpointError(f"{file}: scheduler: expected a library and a class, got none; restore the file")
    kinds["scheduler"] = scheduler
    if pipeline.startswith("StableDiffusionXL") and index.get("requires_aesthetics_score", False) is not False:
        raise CheckpointError(f"{file}: {REFINER}")
    for part in PIPELINES[pipeline].parts:
        if part in replaced:
            continue
        kind, accepted = _class_of(index, part), CLASSES[part]
        if kind not in accepted:
            wanted = " or ".join(accepted)
            fix = FIXES.get(str(kind), "use a relative of Stable Diffusion 1, 2 or XL")
            raise CheckpointError(f"{file}: {part}: expected {wanted}, got {shortened(kind)}; {fix}")
        kinds[part] = str(kind)
    return kinds


def _class_of(index: Mapping[str, Any], part: str) -> object:
    """The class of a component in a model_index.json, which stores [library, class]; None without one."""
    entry = index.get(part)
    return entry[1] if isinstance(entry, list) and len(entry) == 2 else None


def describe(pipeline: str) -> str:
    """The part of an error message that says what a pipeline that is not supported is."""
    beginnings = [beginning for beginning in FAMILIES if pipeline.startswith(beginning)]
    if beginnings:
        return f"this is {FAMILIES[max(beginnings, key=len)]}, which mobile-diffusion does not support"
    return f"this is a {shortened(pipeline)}, which mobile-diffusion does not know"
